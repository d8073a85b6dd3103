import { readFile } from 'node:fs/promises';
import Type, { type Static } from 'typebox';
import { ConfigError } from '../../core/index.ts';
import { type DriverParameters, readParameters } from '../parameters.ts';

export const driverName = 'gcs';

/** What the service wants the pieces of its own resumable uploads to be a multiple of; distribution checks the same. */
const chunkUnitBytes = 256 * 1024;

/** What the gcs driver is configured by: the parameters of distribution's driver, and `apiendpoint`. */
export const GcsParametersSchema = Type.Object(
  {
    bucket: Type.String({ description: 'bucket that holds everything; it has to be there', minLength: 1 }),
    keyfile: Type.Optional(
      Type.String({ description: 'file with the key of a service account, as Google gives it (JSON)', minLength: 1 }),
    ),
    credentials: Type.Optional(
      Type.Record(Type.String(), Type.Unknown(), {
        description: 'what would be in keyfile, as a section of the configuration',
      }),
    ),
    rootdirectory: Type.String({ description: 'prefix of all names in the bucket', default: '' }),
    chunksize: Type.Integer({
      description: 'bytes of a piece of an upload, a multiple of 262144; a writer holds three of them at most',
      minimum: chunkUnitBytes,
      maximum: 512 * 1024 * 1024,
      default: 5 * 1024 * 1024,
    }),
    maxconcurrency: Type.Integer({
      description: 'requests to the service at once; more of them wait',
      minimum: 1,
      maximum: 10_000,
      default: 50,
    }),
    apiendpoint: Type.Optional(
      Type.String({ description: 'URL of the service, when it is not https://storage.googleapis.com', minLength: 1 }),
    ),
  },
  { additionalProperties: false },
);

export type GcsParameters = Static<typeof GcsParametersSchema>;

/** What Google's files of credentials have that is looked at here. */
export interface GcsCredentials {
  readonly type?: string;
  readonly client_email?: string;
  readonly private_key?: string;
  readonly token_uri?: string;
}

/** Reads the parameters, and checks what a schema cannot say. @throws ConfigError */
export function readGcsParameters(parameters: DriverParameters): GcsParameters {
  const settings = readParameters(driverName, GcsParametersSchema, parameters);
  const { keyfile, credentials, chunksize, apiendpoint } = settings;
  const faults: string[] = [];
  if (keyfile !== undefined && credentials !== undefined) {
    faults.push('parameters "keyfile" and "credentials" are both given, expected one of them');
  }
  if (chunksize % chunkUnitBytes !== 0) {
    faults.push(`parameter "chunksize" is no multiple of ${chunkUnitBytes}, got ${chunksize}`);
  }
  if (apiendpoint !== undefined && !/^https?:$/.test(URL.parse(apiendpoint)?.protocol ?? '')) {
    faults.push(`parameter "apiendpoint" is no URL of http or https, got "${apiendpoint}"`);
  }
  if (faults.length > 0) throw configError(faults);
  return settings;
}

/**
 * The credentials that the parameters give; `undefined` for those of the environment (Application Default Credentials).
 * @throws ConfigError, which names the parameter and has nothing secret in it
 */
export async function readCredentials({ keyfile, credentials }: GcsParameters): Promise<GcsCredentials | undefined> {
  if (keyfile === undefined && credentials === undefined) return undefined;
  const place = keyfile === undefined ? 'parameter "credentials"' : `parameter "keyfile" (${keyfile})`;
  const given = keyfile === undefined ? credentials : await readKeyFile(keyfile, place);
  if (typeof given !== 'object' || given === null) throw configError([`${place} is no JSON object`]);
  const { type, client_email, private_key } = given as GcsCredentials;
  if (type !== undefined && type !== 'service_account') return given;
  const missing = Object.entries({ client_email, private_key }).filter(([, value]) => typeof value !== 'string');
  if (missing.length > 0) {
    throw configError(missing.map(([key]) => `${place} has no "${key}", expected the key of a service account`));
  }
  return given;
}

async function readKeyFile(keyfile: string, place: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(keyfile, 'utf8');
  } catch (error) {
    throw configError([`${place} cannot be read (${(error as NodeJS.ErrnoException).code})`], error);
  }
  try {
    return JSON.parse(text);
  } catch {
    // The error of the parser has parts of the file in its message.
    throw configError([`${place} is no JSON, expected the key of a service account as Google gives it`]);
  }
}

function configError(faults: readonly string[], cause?: unknown): ConfigError {
  const text = faults.map((fault) => `storage driver ${driverName}: ${fault}`).join('; ');
  return new ConfigError(text, { faults }, cause === undefined ? undefined : { cause });
}
