import { X509Certificate } from 'node:crypto';
import { type BigIntStats, readFileSync, statSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext, type SecureContextOptions, type Server } from 'node:tls';
import type { Logger } from 'pino';
import { ConfigError } from '../core/index.ts';

/** PEM files of a server. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** The files are looked at this often; 10 000 unless told, which is in time for any renewal. */
  readonly checkEveryMs?: number | undefined;
}

const CHECK_EVERY_MS = 10_000;

/** A state that no file has, so that the first look reads it. */
const UNKNOWN = '';

/**
 * The certificate of a server, in step with its files. New connections get what the files hold; those that are open go on
 * with what they have. Files that cannot be used are logged as an error, once for each change, and the former certificate
 * stays. Whoever follows ends it with {@link stop}; the process is not kept alive by it.
 */
export class TlsCertificate {
  /** For the server that is to have it: certificate, key, and TLS 1.2 as the oldest version, whatever Node was started with. */
  readonly options: SecureContextOptions;
  readonly #files: TlsFiles;
  #seen: string;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;

  private constructor(files: TlsFiles, options: SecureContextOptions, seen: string) {
    this.#files = files;
    this.options = options;
    this.#seen = seen;
  }

  /** Reads the files for the first time. @throws ConfigError when one cannot be read, or they do not belong together */
  static read(files: TlsFiles): TlsCertificate {
    const { certFile, keyFile } = files;
    // Before they are read: a change in between is then seen as one.
    const stateNow = (file: string) => formatState(statSync(file, { bigint: true }));
    const certState = orConfigError('listen.tls.certFile', certFile, stateNow);
    const keyState = orConfigError('listen.tls.keyFile', keyFile, stateNow);
    const cert = orConfigError('listen.tls.certFile', certFile, (file) => readFileSync(file));
    const key = orConfigError('listen.tls.keyFile', keyFile, (file) => readFileSync(file));
    return new TlsCertificate(files, optionsOf(files, cert, key), [certState, keyState].join());
  }

  /** Begins to follow the files for a server that was made with {@link options}. */
  follow(server: Server, logger: Logger): void {
    this.#timer = setInterval(
      () => void this.#look(server, logger),
      this.#files.checkEveryMs ?? CHECK_EVERY_MS,
    ).unref();
  }

  /** Reads the files at once, changed or not, for whoever is told to by a signal. Never rejects. */
  async reload(server: Server, logger: Logger): Promise<void> {
    await this.#looking;
    this.#seen = UNKNOWN;
    await this.#look(server, logger);
  }

  /** Ends the following. */
  stop(): void {
    clearInterval(this.#timer);
  }

  /** Never rejects; one at a time. */
  #look(server: Server, logger: Logger): Promise<void> {
    this.#looking ??= this.#readChanged(server, logger).finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #readChanged(server: Server, logger: Logger): Promise<void> {
    const { certFile, keyFile } = this.#files;
    try {
      const states = await Promise.all([stateOf(certFile), stateOf(keyFile)]);
      if (states.join() === this.#seen) return;
      this.#seen = states.join();
      const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)]);
      server.setSecureContext(optionsOf(this.#files, cert, key));
      const certificate = new X509Certificate(cert);
      const { serialNumber, validTo } = certificate;
      logger.info({ certFile, serialNumber, validTo }, 'the certificate was read again');
      if (!isValidNow(certificate)) {
        // Served all the same: it may be the clock that is wrong, and the former one is no better.
        logger.warn(
          { certFile, validFrom: certificate.validFrom, validTo },
          'the certificate is not valid at this time',
        );
      }
    } catch (error) {
      logger.error({ err: error, certFile, keyFile }, 'the certificate cannot be read again; the former one stays');
    }
  }
}

/** @throws ConfigError when they are no pair; tried here, as a server that was handed a broken pair would be left with it */
function optionsOf({ certFile, keyFile }: TlsFiles, cert: Buffer, key: Buffer): SecureContextOptions {
  const options: SecureContextOptions = { cert, key, minVersion: 'TLSv1.2' };
  try {
    createSecureContext(options);
    return options;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = `listen.tls: ${certFile} and ${keyFile} are no certificate with its key in PEM: ${reason}`;
    throw new ConfigError(message, { certFile, keyFile }, { cause });
  }
}

function orConfigError<T>(setting: string, file: string, read: (file: string) => T): T {
  try {
    return read(file);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new ConfigError(`${setting}: cannot read ${file}: ${code ?? String(cause)}`, { file }, { cause });
  }
}

/** Differs whenever the file does, also when another one was put in its place. */
function formatState({ ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
}

/** The state of a file, or why there is none. Never rejects. */
function stateOf(file: string): Promise<string> {
  return stat(file, { bigint: true }).then(formatState, (error: NodeJS.ErrnoException) => error.code ?? error.message);
}

function isValidNow({ validFromDate, validToDate }: X509Certificate): boolean {
  const now = Date.now();
  return now >= validFromDate.getTime() && now <= validToDate.getTime();
}
