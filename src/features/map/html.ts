import { type Block, blocksOf, type Cell, interfaceKey, type Line } from "./blocks.ts";
import { escaped, palette, summary } from "./markup.ts";
import type { NetworkMap } from "./model.ts";
import { columns, rowsOf } from "./table.ts";

const style = `${palette}*{box-sizing:border-box}body{margin:0 auto;max-width:90rem;padding:1rem;` +
  "background:var(--back);color:var(--text);font:1rem/1.5 system-ui,sans-serif}" +
  "h1{font-size:1.4rem;margin:0}h2{font-size:1.1rem;margin:0}p{margin:.2rem 0}" +
  "a{color:inherit}:focus-visible{outline:3px solid var(--focus);outline-offset:2px}" +
  ".skip:not(:focus){position:absolute;left:-999rem}nav ul{display:flex;flex-wrap:wrap;gap:.3rem 1rem;padding:0}" +
  "li{list-style:none}input{font:inherit;max-width:100%;padding:.2rem .4rem}" +
  "section{background:var(--box);border:1px solid var(--line);border-radius:.5rem;margin:1rem 0;padding:.7rem}" +
  "section>ul{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,17rem),1fr));gap:.5rem;" +
  "margin:.5rem 0 0;padding:0}section li{background:var(--back);border:1px solid var(--line);border-radius:.3rem;" +
  "padding:.4rem .6rem;overflow-wrap:anywhere}[hidden]{display:none!important}" +
  ".name{font-weight:700}.address,.port{font-family:ui-monospace,monospace;font-size:.85rem}" +
  ".address{color:var(--address)}.port{color:var(--port)}.way{color:var(--way)}.state{color:var(--state)}" +
  ".rate{font-size:.85rem;font-variant-numeric:tabular-nums}p.rate{min-height:1.5em}li .rate{display:flex;" +
  "gap:.5rem;justify-content:space-between}form+.rate{white-space:nowrap;overflow:hidden;text-overflow:ellipsis}" +
  "td{min-width:6rem}td.rate{min-width:14rem}.rate svg{flex:0 1 5rem;min-width:0;height:1.3em;fill:none;" +
  "stroke:var(--way);stroke-width:1.5}polyline{vector-effect:non-scaling-stroke}.table{overflow-x:auto}" +
  "table{border-collapse:collapse;font-size:.9rem}caption{text-align:left}" +
  "th,td{border:1px solid var(--line);padding:.2rem .5rem;text-align:left;vertical-align:top}";

/** Shows the containers that have the text, and the networks that have such containers. */
const script = `const form=document.querySelector("form"),box=form.querySelector("input"),` +
  `told=form.querySelector("output"),words=e=>[...e.querySelectorAll("p:not(.rate)")].map(p=>p.textContent)` +
  `.join(" ").toLowerCase();form.hidden=false;form.onsubmit=()=>false;` +
  `box.oninput=()=>{const want=box.value.trim().toLowerCase();let shown=0;` +
  `for(const part of document.querySelectorAll("section")){let any=0;` +
  `const own=part.querySelector("h2").textContent.toLowerCase().includes(want);` +
  `for(const one of part.querySelectorAll("li")){const fits=own||words(one).includes(want);` +
  `one.hidden=!fits;any+=fits}part.hidden=want!==""&&!own&&!any;shown+=any}` +
  `told.textContent=want===""?"":shown+" shown"};`;

/** What a page has that an agent serves. */
export interface Live {
  /** Without it the browser runs no script, and takes no style. */
  readonly nonce: string;
  /** By which the page knows that the map is another one. */
  readonly version: string;
  readonly script: string;
}

/** What the script of a live page fills. */
const controls = '<button type="button" aria-pressed="false">Pause</button> <output class="state"></output>' +
  '<template><svg viewBox="0 0 60 16" preserveAspectRatio="none" aria-hidden="true"><polyline/></svg></template>';

/** A map as one HTML file that needs nothing else, or as a page that goes on to ask. */
export function drawHtml(map: NetworkMap, live?: Live): string {
  const blocks = blocksOf(map);
  const nonce = live ? ` nonce="${live.nonce}"` : "";
  const links = blocks.map(({ name }, i) => `<li><a href="#n${i}">${escaped(name)}</a></li>`);
  const title = `host ${map.host}`;
  return [
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width,initial-scale=1">',
    ...live ? [] : [
      '<meta http-equiv="Content-Security-Policy" ' +
      `content="default-src 'none';style-src 'unsafe-inline';script-src 'unsafe-inline'">`,
    ],
    `<title>${escaped(title)}</title>\n<style${nonce}>${style}</style>\n</head>\n<body>`,
    '<a class="skip" href="#table">Skip to the table</a>',
    `<header><h1>${escaped(title)}</h1><p>${escaped(summary(map))}</p></header>`,
    '<form role="search" hidden><label>Filter containers <input type="search" autocomplete="off"></label> ' +
    `<output></output>${live ? controls : ""}</form>`,
    ...live ? ['<p class="rate"></p>'] : [],
    `<nav aria-label="Networks"><ul>${links.join("")}</ul></nav>\n<main${
      live ? ` data-map="${live.version}"` : ""
    }>`,
    ...(blocks.length === 0
      ? ["<p>No container is on any network.</p>"]
      : blocks.map((block, i) => section(block, i, live))),
    `${table(map, live)}\n</main>\n<script${nonce}>${script}${
      live?.script ?? ""
    }</script>\n</body>\n</html>\n`,
  ].join("\n");
}

function section({ name, detail, head, cells }: Block, i: number, live: Live | undefined): string {
  const list = cells.length === 0
    ? "<p>No container is on it.</p>"
    : `<ul role="list">\n${cells.map((cell) => item(cell, live)).join("\n")}\n</ul>`;
  return `<section id="n${i}" tabindex="-1" aria-labelledby="h${i}"><h2 id="h${i}">${escaped(name)}</h2>` +
    `${detail === "" ? "" : `<p>${escaped(detail)}</p>`}${head.map(paragraph).join("")}\n${list}\n</section>`;
}

function item({ lines }: Cell, live: Live | undefined): string {
  const rate = ({ of }: Line) => live && of !== undefined ? `<p ${rateOf(of)}></p>` : "";
  return `<li>${lines.map((line) => paragraph(line) + rate(line)).join("")}</li>`;
}

function paragraph({ kind, text }: Line): string {
  return `<p class="${kind}">${escaped(text)}</p>`;
}

/** Attributes of what the script fills with an interface's traffic. */
function rateOf(key: string): string {
  return `class="rate" data-rate="${escaped(key)}"`;
}

/** The text alternative. A keyboard reaches it to scroll. */
function table(map: NetworkMap, live: Live | undefined): string {
  const heads = [...columns, ...live ? ["Traffic"] : []].map((name) => `<th scope="col">${name}</th>`);
  return `<div id="table" class="table" role="region" aria-label="Table of interfaces" tabindex="0">` +
    `<table><caption>The same as a table</caption><thead><tr>${heads.join("")}</tr></thead><tbody>\n` +
    `${rowsOf(map).map((row) => tableRow(row, live)).join("\n")}\n</tbody></table></div>`;
}

function tableRow(row: readonly string[], live: Live | undefined): string {
  const [id, , network, ifname] = row as [string, string, string, string];
  const cells = row.map((cell, i) =>
    i === 0 ? `<th scope="row">${escaped(cell)}</th>` : `<td>${escaped(cell)}</td>`
  );
  const rate = live ? `<td ${rateOf(interfaceKey(id, network, ifname))}></td>` : "";
  return `<tr>${cells.join("")}${rate}</tr>`;
}
