import Type, { type Static } from 'typebox';
import { ConfigError } from '../../core/index.ts';
import { type DriverParameters, readParameters } from '../parameters.ts';

export const driverName = 'azure';

const CredentialsSchema = Type.Object(
  {
    type: Type.Union([Type.Literal('client_secret'), Type.Literal('shared_key'), Type.Literal('default_credentials')], {
      description: 'client_secret, shared_key or default_credentials',
    }),
    clientid: Type.Optional(Type.String({ description: 'application id, for client_secret' })),
    tenantid: Type.Optional(Type.String({ description: 'directory id, for client_secret' })),
    secret: Type.Optional(Type.String({ description: 'secret of the application, for client_secret' })),
  },
  { additionalProperties: false, description: 'how to sign in, as in distribution' },
);

/** What the azure driver is configured by: the parameters of distribution's driver, and a few of its own. */
export const AzureParametersSchema = Type.Object(
  {
    accountname: Type.Optional(Type.String({ description: 'name of the storage account', minLength: 1 })),
    container: Type.String({ description: 'container that holds everything; it has to be there', minLength: 1 }),
    accountkey: Type.Optional(Type.String({ description: 'key of the account, base64', minLength: 1 })),
    credentials: Type.Optional(CredentialsSchema),
    connectionstring: Type.Optional(
      Type.String({ description: 'connection string, in place of accountname and accountkey', minLength: 1 }),
    ),
    sastoken: Type.Optional(
      Type.String({ description: 'shared access signature that may read, add, write, delete and list', minLength: 1 }),
    ),
    realm: Type.String({ description: 'domain behind <accountname>.blob.', default: 'core.windows.net', minLength: 1 }),
    serviceurl: Type.Optional(
      Type.String({ description: 'URL of the blob service, when it is not https://<accountname>.blob.<realm>' }),
    ),
    rootdirectory: Type.String({ description: 'prefix of all names in the container', default: '' }),
    max_retries: Type.Integer({
      description: 'tries of a request after the first',
      minimum: 0,
      maximum: 20,
      default: 5,
    }),
    retry_delay: Type.String({
      description: 'wait before the second try, doubled with each; a number with ms or s',
      pattern: '^\\d+(ms|s)$',
      default: '100ms',
    }),
    skipverify: Type.Boolean({ description: 'whether any certificate of the service is taken', default: false }),
    maxconcurrency: Type.Integer({
      description: 'calls to the service at once; more of them wait',
      minimum: 1,
      maximum: 10_000,
      default: 100,
    }),
    chunksize: Type.Integer({
      description: 'bytes of a block of an upload; they double every 10 000 blocks',
      minimum: 64 * 1024,
      maximum: 100 * 1024 * 1024,
      default: 4 * 1024 * 1024,
    }),
  },
  { additionalProperties: false },
);

export type AzureParameters = Static<typeof AzureParametersSchema>;

/** Reads the parameters, and checks what a schema cannot say. @throws ConfigError */
export function readAzureParameters(parameters: DriverParameters): AzureParameters {
  const settings = readParameters(driverName, AzureParametersSchema, parameters);
  const faults = [...findAccountFaults(settings), ...findCredentialFaults(settings)];
  if (faults.length > 0) {
    throw new ConfigError(faults.map((fault) => `storage driver ${driverName}: ${fault}`).join('; '), { faults });
  }
  return settings;
}

/** The URL of the blob service. */
export function serviceUrlOf(settings: AzureParameters): string {
  return settings.serviceurl ?? `https://${settings.accountname}.blob.${settings.realm}`;
}

/** The wait before the second try, in milliseconds. */
export function retryDelayMsOf({ retry_delay }: AzureParameters): number {
  const [, number = '0', unit] = /^(\d+)(ms|s)$/.exec(retry_delay) ?? [];
  return Number(number) * (unit === 's' ? 1000 : 1);
}

function findAccountFaults({ accountname, connectionstring, serviceurl, sastoken }: AzureParameters): string[] {
  const faults: string[] = [];
  const namesService = connectionstring !== undefined || (serviceurl !== undefined && sastoken !== undefined);
  if (accountname === undefined && !namesService) {
    faults.push('parameter "accountname" is missing, expected the name of the storage account');
  }
  if (serviceurl !== undefined && !URL.canParse(serviceurl)) {
    // Behind a question mark there may be a signature.
    faults.push(`parameter "serviceurl" is no URL, got "${serviceurl.replace(/\?.*/s, '?…')}"`);
  }
  return faults;
}

function findCredentialFaults(settings: AzureParameters): string[] {
  const { accountkey, connectionstring, sastoken, credentials } = settings;
  const usesKey = credentials?.type === 'shared_key';
  const ways = [accountkey, connectionstring, sastoken, usesKey ? undefined : credentials];
  const given = ways.filter((way) => way !== undefined).length;
  if (given !== 1) {
    return [
      `expected one of "accountkey", "connectionstring", "sastoken" and "credentials" to sign in with, got ${given}`,
    ];
  }
  if (usesKey && accountkey === undefined) return ['credentials of type shared_key need "accountkey"'];
  if (credentials?.type !== 'client_secret') return [];
  return (['clientid', 'tenantid', 'secret'] as const)
    .filter((key) => credentials[key] === undefined)
    .map((key) => `credentials of type client_secret need "${key}"`);
}
