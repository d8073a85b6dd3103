import { BenchUsageError } from './errors.ts';

const SIZE_UNITS: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/** In bits a second. A small `b` stands for bits only in `bit`; `MB/s` is bytes, as everywhere. */
const RATE_UNITS: Readonly<Record<string, number>> = {
  bit: 1,
  kbit: 1e3,
  mbit: 1e6,
  gbit: 1e9,
  'b/s': 8,
  'kb/s': 8e3,
  'mb/s': 8e6,
  'gb/s': 8e9,
  'mib/s': 8 * 2 ** 20,
  'gib/s': 8 * 2 ** 30,
};

/** Reads `64MiB`, `1.5GB`, `4096B`; powers of ten without an `i`. @returns bytes @throws BenchUsageError */
export function parseSize(text: string): number {
  const bytes = Math.round(quantity(text, SIZE_UNITS, 'a size such as 64MiB or 1.5GB'));
  if (bytes < 1) throw new BenchUsageError(`"${text}" is no size: expected one byte or more`);
  return bytes;
}

/** Reads `50mbit`, `1.5gbit`, `300MB/s`. @returns bits a second @throws BenchUsageError */
export function parseRate(text: string): number {
  const bits = quantity(text, RATE_UNITS, 'a rate such as 50mbit or 300MB/s');
  if (bits < 8_000) throw new BenchUsageError(`"${text}" is no rate: expected 8kbit or more`);
  return bits;
}

/** Like {@link parseRate}, and `none` for a link that is not shaped. @returns bits a second @throws BenchUsageError */
export function parseLinkRate(text: string): number | undefined {
  return text === 'none' ? undefined : parseRate(text);
}

/** Reads `0.5`, `50%` or `1/3`. @returns a number from 0 to 1 @throws BenchUsageError */
export function parseShare(text: string): number {
  const [, part, whole, percent, plain] =
    /^(?:(\d+)\/(\d+)|(\d+(?:\.\d+)?)%|(\d*\.?\d+))$/.exec(text) ?? ([] as (string | undefined)[]);
  const share =
    part !== undefined ? Number(part) / Number(whole) : percent !== undefined ? Number(percent) / 100 : Number(plain);
  if (share >= 0 && share <= 1) return share;
  throw new BenchUsageError(`"${text}" is no share: expected 0.5, 50% or 1/2, from 0 to 1`);
}

/** Reads a whole number from `minimum` on. @throws BenchUsageError */
export function parseCount(text: string, minimum: number): number {
  const count = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (count >= minimum) return count;
  throw new BenchUsageError(`"${text}" is no count: expected a whole number, ${minimum} or more`);
}

/** Reads seconds, `10.7` or `10.7s`. @throws BenchUsageError */
export function parseSeconds(text: string): number {
  const [, digits] = /^(\d+(?:\.\d+)?)s?$/.exec(text) ?? [];
  if (digits !== undefined) return Number(digits);
  throw new BenchUsageError(`"${text}" is no time: expected seconds such as 10.7`);
}

/** `64 MiB`, as short as it can be said exactly enough. */
export function formatSize(bytes: number): string {
  for (const [name, unit] of [
    ['GiB', 2 ** 30],
    ['MiB', 2 ** 20],
    ['KiB', 2 ** 10],
  ] as const) {
    if (bytes >= unit) return `${trimmed(bytes / unit)} ${name}`;
  }
  return `${bytes} B`;
}

/** `50 Mbit/s`; `unshaped` when there is no limit. */
export function formatRate(bitsPerSecond: number | undefined): string {
  if (bitsPerSecond === undefined) return 'unshaped';
  if (bitsPerSecond >= 1e9) return `${trimmed(bitsPerSecond / 1e9)} Gbit/s`;
  return `${trimmed(bitsPerSecond / 1e6)} Mbit/s`;
}

function trimmed(value: number): string {
  return String(Number(value.toFixed(value < 10 ? 2 : 1)));
}

function quantity(text: string, units: Readonly<Record<string, number>>, expected: string): number {
  const [, digits, name] = /^(\d+(?:\.\d+)?)\s*([a-z/]+)$/i.exec(text) ?? [];
  const unit = name === undefined ? undefined : units[name.toLowerCase()];
  if (digits !== undefined && unit !== undefined) return Number(digits) * unit;
  throw new BenchUsageError(`"${text}" is not understood: expected ${expected}`);
}
