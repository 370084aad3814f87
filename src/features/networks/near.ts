/** Whether two words differ by one letter that is added, left out or another, or by two that have changed places. */
export function isNear(a: string, b: string): boolean {
  if (Math.abs(a.length - b.length) > 1 || Math.min(a.length, b.length) < 3) return false;
  let start = 0;
  while (start < a.length && a[start] === b[start]) start++;
  const [one, other] = [a.slice(start), b.slice(start)];
  return one.slice(1) === other || one === other.slice(1) || one.slice(1) === other.slice(1) ||
    one.slice(2) === other.slice(2) && one[0] === other[1] && one[1] === other[0];
}
