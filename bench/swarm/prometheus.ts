/** The sum of one metric over all its labels, from Prometheus' text format; 0 when it is not there. */
export function sumOfMetric(text: string, name: string): number {
  let sum = 0;
  for (const line of text.split('\n')) {
    const [, found, value] = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{.*\})? (\S+)/.exec(line) ?? [];
    if (found === name) sum += Number(value);
  }
  return sum;
}
