import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { ConfigError } from '../core/index.ts';

/**
 * The parameters of a driver as they stand on a command line: each `key=value`, or a file of them as YAML (JSON is YAML too);
 * a later one goes over an earlier one.
 * @throws ConfigError for a file that cannot be read or is no table of parameters
 */
export async function readDriverParameters(texts: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  const parameters: Record<string, unknown> = {};
  for (const text of texts) Object.assign(parameters, keyAndValue(text) ?? (await readParameterFile(text)));
  return parameters;
}

function keyAndValue(text: string): Record<string, string> | undefined {
  const match = /^([A-Za-z0-9_.-]+)=(.*)$/s.exec(text);
  const [, key, value] = match ?? [];
  return key === undefined || value === undefined ? undefined : { [key]: value };
}

async function readParameterFile(file: string): Promise<Record<string, unknown>> {
  let content: unknown;
  try {
    content = parse(await readFile(file, 'utf8'));
  } catch (error) {
    const why = error instanceof Error ? error.message.replaceAll(file, shown(file)) : String(error);
    throw new ConfigError(
      `parameters "${shown(file)}" are neither key=value nor a YAML file: ${why}`,
      { file: shown(file) },
      { cause: error },
    );
  }
  if (typeof content === 'object' && content !== null && !Array.isArray(content))
    return content as Record<string, unknown>;
  throw new ConfigError(`parameters "${file}": expected a table of parameters, got ${JSON.stringify(content)}`, {
    file,
  });
}

/** What is behind an equals sign may be a secret that was mistyped. */
function shown(text: string): string {
  return text.replace(/=.*/s, '=…');
}
