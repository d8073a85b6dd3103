import { parse } from 'yaml';
import { type ConfigFault, closestName, squash } from './fault.ts';
import { choicesOf, type SchemaNode } from './schema-node.ts';

/** One setting from outside of the file. */
export interface Setting {
  readonly path: readonly string[];
  readonly value: unknown;
  /** `environment variable SHOAL_LISTEN__PORT`, `option --port`. */
  readonly place: string;
}

/** What the environment says about a configuration. */
export interface EnvironmentSettings {
  readonly settings: readonly Setting[];
  readonly faults: readonly ConfigFault[];
}

const PREFIX = 'SHOAL_';
const SEPARATOR = '__';

/**
 * Finds the settings in an environment: `SHOAL_CASTORE__CAPACITY_BYTES` is `castore.capacityBytes`.
 *
 * A variable with a double underscore is meant for us, and a fault when it names nothing. One without is taken when it names
 * a setting at the top that is no section, and else left alone: Kubernetes sets `SHOAL_…` variables of its own for a service
 * called "shoal".
 */
export function readEnvironment(
  schema: SchemaNode,
  environment: Readonly<Record<string, string | undefined>>,
): EnvironmentSettings {
  const settings: Setting[] = [];
  const faults: ConfigFault[] = [];
  for (const [name, text] of Object.entries(environment).toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    if (!name.startsWith(PREFIX) || text === undefined) continue;
    const words = name.slice(PREFIX.length).split(SEPARATOR);
    const place = `environment variable ${name}`;
    const found = resolve(schema, words);
    if (found.node !== undefined && (words.length > 1 || !isSectionNode(found.node))) {
      settings.push({ path: found.path, value: readText(found.node, text), place });
    } else if (words.length > 1) {
      faults.push({ place, path: found.path.join('.'), problem: unknownName(found.unknown ?? '', found.known) });
    }
  }
  return { settings, faults };
}

/** The name of the variable that sets a path. */
export function variableOf(path: readonly string[]): string {
  const words = path.map((key) => key.replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase());
  return PREFIX + words.join(SEPARATOR);
}

interface Resolved {
  readonly path: string[];
  readonly node: SchemaNode | undefined;
  readonly unknown?: string;
  readonly known: readonly string[];
}

function resolve(schema: SchemaNode, words: readonly string[]): Resolved {
  const path: string[] = [];
  let node: SchemaNode = schema;
  for (const word of words) {
    const properties = propertiesOf(node);
    const known = Object.keys(properties);
    const key = known.find((candidate) => squash(candidate) === squash(word));
    const child = key === undefined ? undefined : properties[key];
    if (key !== undefined && child !== undefined) {
      path.push(key);
      node = child;
    } else if (known.length === 0 && node.type === 'object') {
      // An open section, such as the parameters of a storage driver: its keys are lower case by custom.
      path.push(word.toLowerCase());
      node = {};
    } else {
      return { path, node: undefined, unknown: word, known };
    }
  }
  return { path, node, known: [] };
}

/** The keys of a section; of a union, those of all its branches. */
function propertiesOf(node: SchemaNode): Readonly<Record<string, SchemaNode>> {
  if (node.properties !== undefined) return node.properties;
  return Object.assign({}, ...(node.anyOf ?? []).map(propertiesOf));
}

function isSectionNode(node: SchemaNode): boolean {
  return node.type === 'object' || (node.anyOf?.some(isSectionNode) ?? false);
}

/** A text as the schema means it: texts stay as they are, anything else is read as YAML (`8080`, `true`, `[a, b]`). */
function readText(node: SchemaNode, text: string): unknown {
  if (node.type === 'string') return text;
  const choices = choicesOf(node);
  if (choices?.every((choice) => typeof choice === 'string')) return text;
  try {
    return parse(text, { maxAliasCount: 0 }) ?? text;
  } catch {
    return text; // Not YAML: the check that follows says what was expected instead.
  }
}

function unknownName(word: string, known: readonly string[]): string {
  const meant = closestName(word, known);
  if (meant !== undefined) return `unknown name "${word}"; did you mean ${variableOf([meant]).slice(PREFIX.length)}?`;
  return known.length === 0
    ? `unknown name "${word}"; nothing can be set below this`
    : `unknown name "${word}"; expected one of ${known.map((key) => variableOf([key]).slice(PREFIX.length)).join(', ')}`;
}
