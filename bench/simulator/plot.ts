import { quantile } from '../lib/statistics.ts';
import type { SimulationReport } from './report.ts';

const WIDTH = 720;
const HEIGHT = 420;
const LEFT = 60;
const RIGHT = 24;
const TOP = 56;
const BOTTOM = 48;

/** The distribution of completion times as an SVG: which share of the hosts had finished by when; the floor is marked. */
export function plotOf(report: SimulationReport): string {
  const times = report.distributionMs;
  const floorS = report.floorMs / 1000;
  const lastS = (times.at(-1) ?? report.floorMs) / 1000;
  // The floor is on the picture, and what lies just beyond the last host.
  const fromS = Math.min(floorS, (times[0] ?? report.floorMs) / 1000) * 0.97;
  const toS = Math.max(lastS, floorS * 1.3) * 1.02;
  const x = (s: number) => LEFT + ((s - fromS) / (toS - fromS)) * (WIDTH - LEFT - RIGHT);
  const y = (share: number) => HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
  const curve = times.map((ms, index) => `${x(ms / 1000).toFixed(1)},${y((index + 1) / times.length).toFixed(1)}`);
  const start = times.length === 0 ? [] : [`${x(times[0]! / 1000).toFixed(1)},${y(0).toFixed(1)}`];
  const { options } = report;
  const title = `${options.hosts} hosts, ${options.blobs} × ${options.blobBytes / 1e6} MB, ${options.origins} origins`;
  const coarse = options.piecesScale === 1 ? '' : `, pieces ${options.piecesScale} times coarser than production's`;
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<title>${title}: when they had finished</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<text x="${LEFT}" y="22" font-size="15">${title}</text>`,
    `<text x="${LEFT}" y="40" fill="#555">share of hosts that had finished, by time since each began${coarse}</text>`,
    ...axes({ x, y, fromS, toS }),
    line({ x1: x(floorS), y1: TOP, x2: x(floorS), y2: y(0), color: '#b00', dashed: true }),
    `<text x="${(x(floorS) + 4).toFixed(1)}" y="${TOP + 10}" fill="#b00">floor ${floorS.toFixed(1)} s</text>`,
    `<polyline fill="none" stroke="#06c" stroke-width="2" points="${[...start, ...curve].join(' ')}"/>`,
    ...marks(times, x, y),
    '</svg>',
  ].join('\n')}\n`;
}

interface Scales {
  readonly x: (seconds: number) => number;
  readonly y: (share: number) => number;
  readonly fromS: number;
  readonly toS: number;
}

function axes({ x, y, fromS, toS }: Scales): string[] {
  const parts: string[] = [];
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    parts.push(line({ x1: LEFT, y1: y(share), x2: WIDTH - RIGHT, y2: y(share), color: '#ddd' }));
    parts.push(`<text x="${LEFT - 6}" y="${(y(share) + 4).toFixed(1)}" text-anchor="end">${100 * share} %</text>`);
  }
  const step = niceStep((toS - fromS) / 8);
  for (let at = Math.ceil(fromS / step) * step; at <= toS; at += step) {
    parts.push(line({ x1: x(at), y1: y(0), x2: x(at), y2: y(0) + 5, color: '#555' }));
    const label = `${Number(at.toPrecision(6))} s`;
    parts.push(`<text x="${x(at).toFixed(1)}" y="${HEIGHT - BOTTOM + 20}" text-anchor="middle">${label}</text>`);
  }
  return parts;
}

function marks(times: readonly number[], x: Scales['x'], y: Scales['y']): string[] {
  if (times.length === 0) return [];
  return [
    ['p50', 0.5],
    ['p99', 0.99],
  ].map(([name, share]) => {
    const seconds = quantile(times, share as number)! / 1000;
    const [cx, cy] = [x(seconds).toFixed(1), y(share as number).toFixed(1)];
    const text = `<text x="${Number(cx) + 8}" y="${Number(cy) + 14}">${name} ${seconds.toFixed(2)} s</text>`;
    return `<circle cx="${cx}" cy="${cy}" r="4" fill="#06c"/>${text}`;
  });
}

/** 1, 2 or 5 times a power of ten, `least` or more. */
function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5].find((factor) => factor * power >= least) ?? 10);
}

function line(from: { x1: number; y1: number; x2: number; y2: number; color: string; dashed?: boolean }): string {
  const at = (['x1', 'y1', 'x2', 'y2'] as const).map((name) => `${name}="${from[name].toFixed(1)}"`).join(' ');
  return `<line ${at} stroke="${from.color}"${from.dashed === true ? ' stroke-dasharray="5 4"' : ''}/>`;
}
