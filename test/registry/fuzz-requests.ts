import fc from 'fast-check';
import { hashBytes, mediaTypes } from '../../src/core/index.ts';
import { bytesOf } from './client.ts';

/** A request as it is written to the socket. */
export interface FuzzRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer | undefined;
}

/** What the registry holds, so that some requests find something. */
export const fuzzBlob = bytesOf('fuzz', 2048);
export const fuzzRepositories = ['a', 'team/app', 'foo/blobs'] as const;
/** Its digest, which half of the digests are. */
export const fuzzDigest = hashBytes(fuzzBlob);

const hex = fc.constantFrom(...'0123456789abcdef');
const text = (characters: string, maxLength: number) => fc.string({ unit: fc.constantFrom(...characters), maxLength });

/** What no rule wants: separators of every kind, percent-encoding that is none, bytes beyond ASCII, long texts. */
const odd = fc.oneof(
  text('aZ09._-/:@*~+=,;!$&()\'"<>[]{}|\\^`', 12),
  fc.constantFrom(
    '',
    '.',
    '..',
    '...',
    '%2F',
    '%2f..',
    '%00',
    '%zz',
    '%',
    '%e9',
    '%C3%A9',
    '%F0%9F%98%80',
    '%ff',
    '%25',
  ),
  fc.constantFrom('a'.repeat(128), 'a'.repeat(129), 'a'.repeat(256), 'a/'.repeat(200), '-', '_', '__', '__proto__'),
  fc.constantFrom('constructor', 'toString', 'undefined', 'null', 'NaN', 'sha256', 'sha512:'),
);

/** A part of a path. */
const word = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('a', 'b', 'team', 'app', 'a.b', 'a__b', 'a--b', 'x0') },
  {
    weight: 2,
    arbitrary: fc.constantFrom('manifests', 'blobs', 'uploads', 'tags', 'list', 'referrers', '_shoal', 'foo'),
  },
  { weight: 1, arbitrary: odd },
);
const name = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom<string>(...fuzzRepositories) },
  { weight: 3, arbitrary: fc.array(word, { minLength: 1, maxLength: 4 }).map((words) => words.join('/')) },
);

/** A digest, or nearly. */
export const fuzzDigests = fc.oneof(
  { weight: 3, arbitrary: fc.constant<string>(fuzzDigest) },
  fc.string({ unit: hex, minLength: 64, maxLength: 64 }).map((digits) => `sha256:${digits}`),
  fc.string({ unit: hex, minLength: 128, maxLength: 128 }).map((digits) => `sha512:${digits}`),
  fc
    .tuple(fc.constantFrom('sha256', 'sha512', 'sha384', 'md5', 'SHA256', ''), text('0aAfFg:=', 130))
    .map((parts) => parts.join(':')),
  fc.constantFrom(fuzzDigest.toUpperCase(), `${fuzzDigest}0`, fuzzDigest.slice(0, -1), fuzzDigest.replace(':', '%3A')),
  odd,
);
const tag = fc.oneof(fc.constantFrom('v1', 'latest', '_', 'A.b-c', 'list', 'uploads'), odd);
const uploadId = fc.oneof(fc.uuid(), text('abcXYZ019_-', 130), odd);

const pair = (key: string, value: fc.Arbitrary<string>) => value.map((one) => `${key}=${one}`);
const number = fc.oneof(
  fc.nat(20).map(String),
  fc.constantFrom('-1', '0x10', '1e3', '1.0', '', '%201', '99999999999999999999', '9007199254740993', 'NaN', '+1'),
  odd,
);
const parameter = fc.oneof(
  pair('n', number),
  pair('last', fc.oneof(tag, name)),
  pair('digest', fuzzDigests),
  pair('mount', fuzzDigests),
  pair('from', name),
  pair('artifactType', fc.oneof(fc.constantFrom<string>(mediaTypes.ociConfig, 'a/b'), odd)),
  pair('digest-algorithm', fc.oneof(fc.constantFrom('sha256', 'sha512', 'md5'), odd)),
  pair('tag', tag),
  pair('ns', odd),
  odd,
);
const query = fc.oneof(
  { weight: 2, arbitrary: fc.constant('') },
  { weight: 3, arbitrary: fc.array(parameter, { maxLength: 4 }).map((parameters) => `?${parameters.join('&')}`) },
);

/** A path, and what its route takes. */
const routed = fc.oneof(
  fc.tuple(fc.constantFrom('/v2/', '/v2', '/v2/_catalog'), fc.constant('GET HEAD')),
  fc.tuple(at(name, 'tags/list'), fc.constant('GET HEAD')),
  fc.tuple(at(name, 'blobs/uploads/'), fc.constant('POST')),
  fc.tuple(at(name, '_shoal/repository'), fc.constant('DELETE')),
  fc.tuple(at(name, 'manifests/', fc.oneof(tag, fuzzDigests)), fc.constant('GET HEAD PUT DELETE')),
  fc.tuple(at(name, 'blobs/', fuzzDigests), fc.constant('GET HEAD DELETE')),
  fc.tuple(at(name, 'blobs/uploads/', uploadId), fc.constant('GET HEAD PATCH PUT DELETE')),
  fc.tuple(at(name, 'referrers/', fuzzDigests), fc.constant('GET HEAD')),
  fc.tuple(
    fc.array(word, { maxLength: 8 }).map((words) => `/v2/${words.join('/')}`),
    fc.constant('GET PUT'),
  ),
);

function at(repository: fc.Arbitrary<string>, words: string, last: fc.Arbitrary<string> = fc.constant('')) {
  return fc.tuple(repository, last).map(([one, end]) => `/v2/${one}/${words}${end}`);
}

const anyMethod = fc.constantFrom(
  ...['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'QUERY', 'LINK', 'PURGE'],
);

/** Below `/v2`, what can stand in a request line, and whose percent-encoding the HTTP server takes. */
const target = fc
  .tuple(routed, query, fc.nat(100), fc.option(anyMethod, { freq: 5 }))
  .map(([[path, methods], parameters, choice, other]) => {
    const taken = methods.split(' ');
    return { path: `${path}${parameters}`, method: other ?? taken[choice % taken.length]! };
  })
  .filter(({ path }) => isDecodable(path.split('?')[0]!));

function isDecodable(one: string): boolean {
  try {
    decodeURI(one);
    return true;
  } catch {
    return false; // Refused before any route is looked for; http-attacks.test.ts has it.
  }
}

const offset = fc.oneof(
  fc.nat(3000).map(String),
  fc.constantFrom('', '2047', '2048', '99999999999999999999', '-1', '0x1', ' 5 '),
);
const span = fc.tuple(offset, offset).map((parts) => parts.join('-'));
const range = fc.oneof(
  { weight: 4, arbitrary: fc.array(span, { minLength: 1, maxLength: 5 }).map((spans) => `bytes=${spans.join(',')}`) },
  { weight: 1, arbitrary: fc.tuple(odd, span).map((parts) => parts.join('=')) },
  { weight: 1, arbitrary: fc.nat(2000).map((count) => `bytes=${'0-0,'.repeat(count)}0-0`) },
  odd,
);
const entityTag = fc.oneof(
  fc.constantFrom(`"${fuzzDigest}"`, `W/"${fuzzDigest}"`, fuzzDigest, '*', '"x"', '", "', ''),
  fc.array(fc.constantFrom(`"${fuzzDigest}"`, '*', '"x"', 'W/"y"'), { maxLength: 4 }).map((tags) => tags.join(',')),
  odd,
);
const mediaType = fc.oneof(
  fc.constantFrom<string>(
    ...Object.values(mediaTypes),
    '*/*',
    'text/html',
    'application/json; charset=utf-8',
    ';',
    '/',
    'a/b;q=x',
  ),
  odd,
);
const header = fc.oneof(
  fc.tuple(fc.constant('Range'), range),
  fc.tuple(
    fc.constant('Content-Range'),
    fc.oneof(
      span,
      span.map((one) => `bytes ${one}/*`),
      odd,
    ),
  ),
  fc.tuple(fc.constantFrom('If-None-Match', 'If-Match', 'If-Range'), entityTag),
  fc.tuple(
    fc.constantFrom('If-Modified-Since', 'If-Unmodified-Since'),
    fc.oneof(fc.constant('Thu, 01 Jan 1970 00:00:00 GMT'), odd),
  ),
  fc.tuple(fc.constantFrom('Content-Type', 'Accept'), mediaType),
  fc.tuple(fc.constant('Accept-Encoding'), fc.constantFrom('gzip', 'zstd;q=1.0, gzip;q=0.8', 'identity;q=0', '*')),
  fc.tuple(
    fc.constant('Authorization'),
    fc.oneof(fc.constantFrom('Basic', 'Basic Og==', 'Basic !!!', 'Bearer x.y.z', 'Bearer '), odd),
  ),
  fc.tuple(fc.constantFrom('X-Request-Id', 'User-Agent', 'Forwarded', 'X-Forwarded-Host', 'Origin', 'Cookie'), odd),
  fc.tuple(
    fc.constantFrom('X-Odd', 'User-Agent'),
    fc.string({ unit: fc.constantFrom('\t', ' ', 'x', '\x80', '\xff', '"'), maxLength: 10 }),
  ),
);

/** Headers that are read by somebody, with values that are right, wrong, or nothing of the kind. */
export const fuzzHeaders = fc.uniqueArray(header, { selector: ([field]) => field, maxLength: 4 });

const body = fc.oneof(
  fc.constant(undefined),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
);

/** Anything below `/v2` that is HTTP. */
export const fuzzRequest: fc.Arbitrary<FuzzRequest> = fc
  .tuple(target, fuzzHeaders, body)
  .map(([parts, headers, bytes]) => ({ ...parts, headers, body: bytes }));

/** The bytes of a request. */
export function rawRequest({ method: verb, path: target, headers, body }: FuzzRequest): Buffer {
  const lines = [
    `${verb} ${target} HTTP/1.1`,
    'Host: registry.example',
    ...headers.map(([key, value]) => `${key}: ${value}`),
  ];
  if (body !== undefined) lines.push(`Content-Length: ${body.length}`);
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), body ?? Buffer.alloc(0)]);
}
