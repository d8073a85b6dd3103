import Type, { type Static } from 'typebox';
import { ConfigError } from '../../core/index.ts';
import { type DriverParameters, readParameters } from '../parameters.ts';
import { driverName } from './errors.ts';

const mib = 1024 * 1024;

/** S3's limits for a part of a multipart upload (Amazon S3 User Guide, "multipart upload limits"). */
export const minPartBytes = 5 * mib;
const maxPartBytes = 5 * 1024 * mib;

/** What the s3 driver is configured by: the names, meanings and defaults of distribution, and a few of its own. */
export const S3ParametersSchema = Type.Object(
  {
    bucket: Type.String({ description: 'bucket that holds everything; it has to exist', minLength: 1 }),
    region: Type.Optional(
      Type.String({
        description: "region of the bucket; without it the SDK's own settings, or us-east-1",
        minLength: 1,
      }),
    ),
    regionendpoint: Type.Optional(
      Type.String({ description: 'URL of a store that is not AWS, or host with an optional port', minLength: 1 }),
    ),
    rootdirectory: Type.String({ description: 'prefix of all keys', default: '' }),
    accesskey: Type.Optional(
      Type.String({ description: "access key; without it and secretkey the SDK's default chain", minLength: 1 }),
    ),
    secretkey: Type.Optional(Type.String({ description: 'secret of the access key', minLength: 1 })),
    sessiontoken: Type.Optional(Type.String({ description: 'token of temporary credentials', minLength: 1 })),
    forcepathstyle: Type.Optional(
      Type.Boolean({ description: 'bucket in the path, not in the host name; by default with a regionendpoint only' }),
    ),
    secure: Type.Boolean({ description: 'https where no scheme is given', default: true }),
    skipverify: Type.Boolean({ description: 'take any certificate', default: false }),
    encrypt: Type.Boolean({ description: 'have objects encrypted by the store', default: false }),
    keyid: Type.Optional(Type.String({ description: 'KMS key for that; without it AES256', minLength: 1 })),
    storageclass: Type.String({ description: 'storage class of objects; NONE sends none', default: 'STANDARD' }),
    objectacl: Type.Optional(
      Type.String({ description: 'canned ACL of objects; without it none is sent', minLength: 1 }),
    ),
    chunksize: Type.Integer({
      description: 'bytes of the first 1000 parts of an upload; later parts are larger',
      minimum: minPartBytes,
      maximum: maxPartBytes,
      default: 10 * mib,
    }),
    multipartcopychunksize: Type.Integer({
      description: 'bytes of a part when a large object is moved',
      minimum: minPartBytes,
      maximum: maxPartBytes,
      default: 32 * mib,
    }),
    multipartcopymaxconcurrency: Type.Integer({
      description: 'parts that are copied at once when a large object is moved',
      minimum: 1,
      maximum: 1000,
      default: 100,
    }),
    multipartcopythresholdsize: Type.Integer({
      description: 'objects up to this many bytes are moved by one copy',
      minimum: 0,
      maximum: maxPartBytes,
      default: 32 * mib,
    }),
    accelerate: Type.Boolean({ description: 'use S3 Transfer Acceleration', default: false }),
    usedualstack: Type.Boolean({ description: 'use the dual-stack (IPv6) endpoints of AWS', default: false }),
    usefipsendpoint: Type.Boolean({ description: 'use the FIPS endpoints of AWS', default: false }),
    useragent: Type.Optional(Type.String({ description: 'added to the User-Agent of requests', minLength: 1 })),
    v4auth: Type.Literal(true, { description: 'signature version 4, the only one', default: true }),
    loglevel: Type.Optional(Type.String({ description: "taken for distribution's sake, without effect" })),
    redirect: Type.Boolean({ description: 'whether clients may be sent to the store for blobs', default: true }),
    redirectendpoint: Type.Optional(
      Type.String({ description: 'URL of the store as clients reach it, scheme and host only', minLength: 1 }),
    ),
    conditionalput: Type.Optional(
      Type.Boolean({ description: 'store does PutObject with If-Match and If-None-Match; by default AWS only' }),
    ),
    checksum: Type.Optional(
      Type.Union([Type.Literal('supported'), Type.Literal('required')], {
        description: "when checksums are sent and verified; by default 'supported' with AWS, else 'required'",
      }),
    ),
    contentmd5: Type.Optional(
      Type.Boolean({ description: 'DeleteObjects with Content-MD5, as older stores want; by default all but AWS' }),
    ),
    maxattempts: Type.Integer({ description: 'tries of a request', minimum: 1, maximum: 20, default: 4 }),
    requesttimeout: Type.Integer({
      description: 'milliseconds until an answer begins, and that a body may stand still',
      minimum: 100,
      maximum: 3_600_000,
      default: 120_000,
    }),
    maxconcurrency: Type.Integer({
      description: 'requests at once; more of them wait',
      minimum: 1,
      maximum: 10_000,
      default: 100,
    }),
  },
  { additionalProperties: false },
);

/** The parameters, with what depends on whether the store is AWS decided. */
export interface S3Settings extends Static<typeof S3ParametersSchema> {
  readonly forcepathstyle: boolean;
  readonly conditionalput: boolean;
  readonly checksum: 'supported' | 'required';
  readonly contentmd5: boolean;
}

/** Reads the parameters. @throws ConfigError with all that is wrong with them */
export function readS3Settings(parameters: DriverParameters): S3Settings {
  const given = readParameters(driverName, S3ParametersSchema, parameters);
  const faults = findFaults(given);
  if (faults.length > 0) throw new ConfigError(faults.join('; '), { driver: driverName, faults });
  const isAws = given.regionendpoint === undefined;
  return {
    ...given,
    ...(isAws ? {} : { regionendpoint: withScheme(given.regionendpoint ?? '', given.secure) }),
    forcepathstyle: given.forcepathstyle ?? !isAws,
    conditionalput: given.conditionalput ?? isAws,
    checksum: given.checksum ?? (isAws ? 'supported' : 'required'),
    contentmd5: given.contentmd5 ?? !isAws,
  };
}

function findFaults(given: Static<typeof S3ParametersSchema>): string[] {
  const fault = (text: string) => `storage driver ${driverName}: ${text}`;
  const faults: string[] = [];
  if ((given.accesskey === undefined) !== (given.secretkey === undefined)) {
    faults.push(fault('parameters "accesskey" and "secretkey" belong together, got only one of them'));
  }
  if (given.regionendpoint !== undefined && !URL.canParse(withScheme(given.regionendpoint, given.secure))) {
    faults.push(fault(`parameter "regionendpoint" is no URL, got "${given.regionendpoint}"`));
  }
  if (given.redirectendpoint !== undefined && !isOrigin(given.redirectendpoint)) {
    faults.push(
      fault(`parameter "redirectendpoint" has to be a URL of scheme and host only, got "${given.redirectendpoint}"`),
    );
  }
  return faults;
}

function withScheme(endpoint: string, secure: boolean): string {
  if (/^[a-z]+:\/\//i.test(endpoint)) return endpoint;
  return `${secure ? 'https' : 'http'}://${endpoint}`;
}

function isOrigin(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, pathname, search, hash } = new URL(text);
  return /^https?:$/.test(protocol) && pathname === '/' && search === '' && hash === '';
}
