import { readFile } from 'node:fs/promises';
import { type Document, isMap, isNode, LineCounter, type Node, parseDocument } from 'yaml';
import { ConfigError } from '../core/index.ts';
import type { ConfigFault } from './fault.ts';
import type { ConfigPath } from './validate.ts';

/** A configuration file, with the place of each of its settings. */
export interface ConfigFile {
  /** Sections as plain objects; an empty file is an empty section. */
  readonly tree: unknown;
  /** What keeps it from being YAML at all. */
  readonly faults: readonly ConfigFault[];
  /** `file:line:column` of a setting, of its nearest parent when it is not there, or of the file's start. */
  placeOf(path: ConfigPath, kind: 'key' | 'value'): string;
}

/** A configuration is written by hand; anything larger is another file that was named by mistake. */
const FILE_MAX_BYTES = 1024 * 1024;

/** Reads a YAML file. @throws ConfigError when it cannot be read, or is larger than 1 MiB */
export async function readConfigFile(file: string): Promise<ConfigFile> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new ConfigError(`cannot read the configuration file ${file}: ${code ?? String(cause)}`, { file }, { cause });
  }
  if (text.length > FILE_MAX_BYTES) {
    throw new ConfigError(`the configuration file ${file} has ${text.length} characters, at most ${FILE_MAX_BYTES}`);
  }
  return parseConfigFile(file, text);
}

/** Reads YAML that is in memory; `file` names it in faults. */
export function parseConfigFile(file: string, text: string): ConfigFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, strict: true });
  const placeAt = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const notYaml = (offset: number, message: string) => {
    return { place: placeAt(offset), path: '', problem: `not valid YAML: ${message}` };
  };
  const faults = document.errors.map((error) => notYaml(error.pos[0], error.message));
  let tree: unknown = {};
  try {
    // Aliases are bounded, because a file of a few lines could otherwise grow to gigabytes.
    if (faults.length === 0) tree = document.toJS({ maxAliasCount: 100 }) ?? {};
  } catch (error) {
    // Aliases without an anchor, or too many of them, show only now, without a position.
    faults.push(notYaml(0, error instanceof Error ? error.message : String(error)));
  }
  return { tree, faults, placeOf: (path, kind) => placeAt(offsetOf(document, path, kind)) };
}

function offsetOf(document: Document.Parsed, path: ConfigPath, kind: 'key' | 'value'): number {
  for (let depth = path.length; depth > 0; depth--) {
    const here = path.slice(0, depth);
    const key = keyNode(document, here);
    const value = document.getIn(here, true);
    const node = kind === 'key' || !isNode(value) ? key : value;
    const range = (node ?? (isNode(value) ? value : undefined))?.range;
    if (range !== undefined && range !== null) return range[0];
  }
  return document.contents?.range?.[0] ?? 0;
}

/** The node of a key itself, rather than of what stands behind it. */
function keyNode(document: Document.Parsed, path: ConfigPath): Node | undefined {
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  if (!isMap(parent)) return undefined;
  const pair = parent.items.find((item) => String(item.key) === String(path.at(-1)));
  return isNode(pair?.key) ? pair.key : undefined;
}
