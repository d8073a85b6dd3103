import { readFile, stat } from 'node:fs/promises';
import { ConfigError } from '../core/index.ts';
import type { NotificationEndpointConfig } from './config.ts';

/** RFC 9110, section 5.6.2. */
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** RFC 9110, section 5.5, without the bytes beyond ASCII that nobody reads alike. */
const HEADER_VALUE = /^[\t\x20-\x7e]*$/;
/** Set by the connection itself. */
const RESERVED = [
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];
/** Their values are secrets by what they are for. */
const SECRET = ['authorization', 'cookie', 'proxy-authorization'];

const GROUP_OR_WORLD_WRITABLE = 0o022;

/**
 * The headers that go with each request to one endpoint, under lower-case names: those of the configuration, and those
 * whose values are in files.
 * @throws ConfigError when one is none, stands for something else, or its file cannot be read
 */
export async function readEndpointHeaders(
  endpoint: Pick<NotificationEndpointConfig, 'name' | 'headers' | 'headerFiles'>,
): Promise<Readonly<Record<string, string>>> {
  const headers = new Map<string, string>();
  const add = (name: string, value: string, place: string) => {
    const known = name.toLowerCase();
    const reason = faultOf(known, value, headers);
    if (reason !== undefined) {
      throw new ConfigError(`notifications.endpoints: ${endpoint.name}: ${place}: ${reason}`, {
        endpoint: endpoint.name,
      });
    }
    headers.set(known, value);
  };
  for (const [name, value] of Object.entries(endpoint.headers)) {
    const place = `headers.${name}`;
    if (SECRET.includes(name.toLowerCase())) {
      throw new ConfigError(
        `notifications.endpoints: ${endpoint.name}: ${place} holds a secret: put its value into a file and set headerFiles.${name}`,
        { endpoint: endpoint.name },
      );
    }
    add(name, value, place);
  }
  for (const [name, file] of Object.entries(endpoint.headerFiles)) {
    add(name, await readSecret(endpoint.name, name, file), `headerFiles.${name}`);
  }
  return Object.fromEntries(headers);
}

/** What is wrong; it never shows the value. */
function faultOf(name: string, value: string, known: ReadonlyMap<string, string>): string | undefined {
  if (!HEADER_NAME.test(name)) return 'this is not the name of a header';
  if (RESERVED.includes(name)) return 'this header is set by the connection itself';
  if (known.has(name)) return 'this header is there twice';
  if (value === '') return 'its value is empty';
  if (!HEADER_VALUE.test(value)) return 'its value has characters other than visible ASCII';
  return undefined;
}

async function readSecret(endpoint: string, name: string, file: string): Promise<string> {
  const place = `notifications.endpoints: ${endpoint}: headerFiles.${name}`;
  let mode: number;
  let text: string;
  try {
    mode = (await stat(file)).mode;
    text = await readFile(file, 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new ConfigError(`${place}: cannot read ${file}: ${code ?? String(cause)}`, { file }, { cause });
  }
  if ((mode & GROUP_OR_WORLD_WRITABLE) !== 0) {
    const found = (mode & 0o777).toString(8).padStart(4, '0');
    throw new ConfigError(
      `${place}: ${file} can be written by others (mode ${found}); expected 0600: chmod 0600 ${file}`,
      {
        file,
      },
    );
  }
  return text.trim();
}
