import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BenchRunError } from '../lib/errors.ts';

/** What the example leaves to be set, and where nginx keeps its own files. */
export interface NginxPlace {
  /** A folder of its own for its pid and temporary files. */
  readonly directory: string;
  /** On 127.0.0.1. */
  readonly port: number;
  readonly registryPort: number;
  /** `rootdirectory` of the registry's driver. */
  readonly rootdirectory: string;
}

const EXAMPLE = new URL('../../deploy/nginx/shoal-registry.conf', import.meta.url);

/** `registry.offload.xAccelPrefix` that the example has. */
export const EXAMPLE_PREFIX = '/_shoal';

/** A whole configuration of nginx, with the example of `deploy/nginx` as its server, so that what is tested is what is shown. */
export async function nginxConfig(place: NginxPlace): Promise<string> {
  const { directory, port, registryPort, rootdirectory } = place;
  const changes = {
    'listen 80;': `listen 127.0.0.1:${port};`,
    'server 127.0.0.1:5000;': `server 127.0.0.1:${registryPort};`,
    'alias /var/lib/shoal-registry/': `alias ${rootdirectory}/`,
  };
  let server = await readFile(EXAMPLE, 'utf8');
  for (const [from, to] of Object.entries(changes)) {
    if (server.split(from).length !== 2) throw new BenchRunError(`the example for nginx has "${from}" not once`);
    server = server.replace(from, to);
  }
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => {
    return `${name}_temp_path ${join(directory, name)};`;
  });
  return [
    // Started by root it would give up its rights, and could not read a temporary folder that is root's.
    ...(process.getuid?.() === 0 ? ['user root;'] : []),
    'daemon off;',
    'worker_processes auto;',
    `pid ${join(directory, 'nginx.pid')};`,
    'error_log stderr;',
    'events { worker_connections 1024; }',
    'http {',
    'default_type application/octet-stream;',
    'access_log off;',
    ...temporary,
    server,
    '}',
  ].join('\n');
}
