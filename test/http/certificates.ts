import { copyFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../helpers/command.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';

/** PEM files of a certificate for 127.0.0.1 that vouches for itself, with its key. */
export interface CertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/** Makes a certificate with OpenSSL. @param serial in hex, upper case */
export async function makeCertificate(serial: string, days = 2): Promise<CertificateFiles> {
  const directory = await makeTempDir();
  const files = { certFile: join(directory, 'cert.pem'), keyFile: join(directory, 'key.pem') };
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', files.keyFile];
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'];
  const life = ['-days', String(days), '-set_serial', `0x${serial}`];
  await run('openssl', ['req', '-x509', ...key, ...names, ...life, '-out', files.certFile]);
  return files;
}

/** Puts a certificate in the place of another in one step for each file, as certbot and its like do. */
export async function replaceFile(from: string, to: string): Promise<void> {
  await copyFile(from, `${to}.new`);
  await rename(`${to}.new`, to);
}
