import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../helpers/command.ts';

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** A certificate authority that nobody knows, and the certificate that it has given to a server: PEM files. */
export interface AuthorityFiles {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/**
 * Makes an authority with OpenSSL, and a certificate of it that is good for two days.
 * @param directory where the files are written
 * @param names host names of the server
 */
export async function makeAuthority(directory: string, names: readonly string[]): Promise<AuthorityFiles> {
  const file = (name: string) => join(directory, name);
  const [caFile, certFile, keyFile] = [file('ca.pem'), file('cert.pem'), file('key.pem')];
  const openssl = (...args: string[]) => run('openssl', args);
  const life = ['-days', '2'];
  const root = ['-subj', '/CN=Authority of a test', '-addext', 'keyUsage=critical,keyCertSign'];
  await openssl('req', '-x509', ...newKey, '-keyout', file('ca-key.pem'), ...root, ...life, '-out', caFile);
  await openssl('req', ...newKey, '-keyout', keyFile, '-subj', `/CN=${names[0]}`, '-out', file('request.pem'));
  await writeFile(file('extensions'), `subjectAltName=${names.map((name) => `DNS:${name}`).join(',')}\n`);
  const signer = ['-CA', caFile, '-CAkey', file('ca-key.pem'), '-set_serial', '1'];
  const request = ['-in', file('request.pem'), '-extfile', file('extensions')];
  await openssl('x509', '-req', ...request, ...signer, ...life, '-out', certFile);
  return { caFile, certFile, keyFile };
}
