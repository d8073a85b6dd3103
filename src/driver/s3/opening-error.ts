import { ConfigError } from '../../core/index.ts';
import { driverName, s3ErrorName, s3ErrorStatus, toDriverError } from './errors.ts';
import type { S3Settings } from './parameters.ts';

const credentialNames = new Set(['InvalidAccessKeyId', 'SignatureDoesNotMatch', 'InvalidToken', 'ExpiredToken']);
const regionNames = new Set([
  'PermanentRedirect',
  'AuthorizationHeaderMalformed',
  'IllegalLocationConstraintException',
]);

/** What the first request's error means for whoever has written the configuration; others are made driver errors. */
export function toOpeningError(error: unknown, settings: S3Settings): unknown {
  const where = `bucket "${settings.bucket}" at ${settings.regionendpoint ?? 'AWS'}`;
  const fault = (text: string) =>
    new ConfigError(`storage driver ${driverName}: ${where}: ${text}`, { driver: driverName }, { cause: error });
  if (!(error instanceof Error)) return error;
  const name = s3ErrorName(error) ?? error.name;
  const status = s3ErrorStatus(error);
  const answer = `(S3 answered ${name}${status === undefined ? '' : `, ${status}`})`;
  if (name === 'NoSuchBucket') return fault(`there is no such bucket ${answer}; create it, or correct "bucket"`);
  if (regionNames.has(name)) {
    return fault(`it is not in region "${settings.region ?? 'of the SDK'}" ${answer}; correct "region"`);
  }
  if (name === 'CredentialsProviderError') {
    return fault('no credentials; give "accesskey" and "secretkey", or one of the ways of the SDK\'s default chain');
  }
  if (credentialNames.has(name))
    return fault(`the credentials are refused ${answer}; correct "accesskey" and "secretkey"`);
  if (status === 403) return fault(`access is denied ${answer}; the credentials need s3:ListBucket`);
  if (name === 'Error' && /region is missing/i.test(error.message)) return fault('no region; give "region"');
  return toDriverError(error, '/');
}
