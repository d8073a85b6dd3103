import { InvalidArgumentError } from 'commander';

const units: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 1024,
  kib: 1024,
  kb: 1000,
  m: 1024 ** 2,
  mib: 1024 ** 2,
  mb: 1000 ** 2,
  g: 1024 ** 3,
  gib: 1024 ** 3,
  gb: 1000 ** 3,
};

/** Reads a size such as `256MiB`, `1.5GB` or `4096`; in bytes. @throws InvalidArgumentError */
export function parseSize(text: string): number {
  const match = /^(\d{1,15}(?:\.\d{1,6})?)\s?([a-z]{0,3})$/i.exec(text.trim());
  const unit = units[match?.[2]?.toLowerCase() ?? ''];
  if (match === null || unit === undefined) {
    throw new InvalidArgumentError(`expected a size such as 256MiB, 1GB or 4096, got "${text}".`);
  }
  return Math.round(Number(match[1]) * unit);
}

/** A size for people: `256.0 MiB`. */
export function formatSize(bytes: number): string {
  const names = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let index = 0;
  while (value >= 1024 && index < names.length - 1) {
    value /= 1024;
    index++;
  }
  return index === 0 ? `${value} B` : `${value.toFixed(1)} ${names[index]}`;
}

/** Reads a TCP port. @throws InvalidArgumentError */
export function parsePort(text: string): number {
  return parseWhole(text, 0, 65_535, 'a port');
}

/** Reads a TCP port that has to be known beforehand, so that 0 will not do. @throws InvalidArgumentError */
export function parseFixedPort(text: string): number {
  return parseWhole(text, 1, 65_535, 'a port');
}

/** Reads a whole number within bounds. @throws InvalidArgumentError */
export function parseWhole(text: string, least: number, most: number, what: string): number {
  const value = Number(text);
  if (!/^\d{1,9}$/.test(text) || value < least || value > most) {
    throw new InvalidArgumentError(`expected ${what} from ${least} to ${most}, got "${text}".`);
  }
  return value;
}

/** Collects options that may be given again. */
export function collectTexts(text: string, before: readonly string[]): readonly string[] {
  return [...before, text];
}

/** Collects `key=value` options into one object. @throws InvalidArgumentError */
export function collectParameters(text: string, before: Readonly<Record<string, string>>): Record<string, string> {
  const equals = text.indexOf('=');
  if (equals < 1) throw new InvalidArgumentError(`expected key=value, got "${text}".`);
  return { ...before, [text.slice(0, equals)]: text.slice(equals + 1) };
}
