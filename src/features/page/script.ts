/**
 * What a live page does in its browser: it asks every second while it is seen, writes each interface's traffic with a
 * line of the last minute, and has the map drawn anew when it is another one. What is the same stays, with focus and
 * place of reading.
 */
export const script =
  `{const find=s=>document.querySelector(s),main=find("main"),[pause,told]=form.querySelectorAll(` +
  `"button,.state"),all=s=>document.querySelectorAll(s);let past={},off=false;` +
  `pause.onclick=()=>pause.setAttribute("aria-pressed",off=!off);` +
  `const size=n=>n<1e6?(n/1e3).toFixed(1)+" kB/s":(n/1e6).toFixed(1)+" MB/s",` +
  `words=([i,o])=>i+o?"in "+size(i)+", out "+size(o):"idle",` +
  `points=v=>{const most=Math.max(1e3,...v);return v.map((n,x)=>60-v.length+x+","+(15-14*n/most).toFixed(1)).join(" ")},` +
  // Traffic of those that have none is empty.
  `draw=rates=>{for(const e of all("[data-rate]")){const key=e.dataset.rate,r=rates[key],t=r?words(r):"",` +
  `line=r&&e.tagName==="P"&&past[key].some(n=>n);if(line||e.firstElementChild||e.textContent!==t)e.textContent=t;` +
  `if(line){const g=document.importNode(find("template").content,true);` +
  `g.querySelector("polyline").setAttribute("points",points(past[key]));e.append(g)}}` +
  `const busy=Object.entries(rates).filter(([,[i,o]])=>i+o).slice(0,3);` +
  `find("form+.rate").textContent=busy.length?"Busiest: "+busy.map(([k,r])=>k+" "+words(r)).join("; "):""},` +
  `keyOf=e=>e.matches("section,li:has(.name)")?e.querySelector("h2,.name").textContent:e.tagName+(e.matches("p,tr,h2,li")?` +
  `e.textContent:""),` +
  `merge=(old,now)=>{for(const {name,value} of now.attributes)old.setAttribute(name,value);` +
  `const had=new Map([...old.children].map(e=>[keyOf(e),e]));let at=old.firstElementChild;` +
  `for(const one of [...now.children]){const key=keyOf(one);let mine=had.get(key);had.delete(key);` +
  `if(!mine)mine=one;else if(mine.matches("section,ul,.table,table,tbody"))merge(mine,one);` +
  `else if(!mine.isEqualNode(one)){if(at===mine)at=one;mine.replaceWith(one);mine=one}` +
  `if(mine===at)at=at.nextElementSibling;else old.insertBefore(mine,at)}for(const e of had.values())e.remove()},` +
  `get=async path=>{const a=await fetch(path,{signal:AbortSignal.timeout(2e4)});if(!a.ok)throw a;return a},` +
  `tick=async()=>{if(!off&&!document.hidden)try{const {map,rates}=await(await get("now")).json();` +
  `if(map!==main.dataset.map){const page=new DOMParser().parseFromString((await(await get(".")).text())` +
  // Its nonce is not this page's, whose policy would tell of the style.
  `.replace(/<style[^]*?<.style>/,""),"text/html");` +
  `draw({});for(const part of ["header","nav","main"])merge(find(part),page.querySelector(part));box.oninput()}` +
  `past=Object.fromEntries(Object.entries(rates).map(([k,[i,o]])=>[k,[...past[k]??[],i+o].slice(-60)]));` +
  `draw(rates);told.textContent=""}catch{draw({});told.textContent||="No answer since "+new Date().toLocaleTimeString()+` +
  `": if the agent was started anew, open the URL that it printed last"}setTimeout(tick,1e3)};tick()}`;
