import { createHash, generateKeyPairSync, type KeyObject, randomUUID, verify } from 'node:crypto';
import { jwtVerify } from 'jose';

/** An error of the service, in the words of its documents. */
export class GcsFault extends Error {
  readonly code: number;
  readonly reason: string;
  constructor(code: number, reason: string, message: string) {
    super(message);
    this.code = code;
    this.reason = reason;
  }
}

/** One service account, those who have its key, and the tokens that they were given. */
export class StubIdentity {
  readonly email = 'shoal@stub.iam.gserviceaccount.com';
  /** Makes the tokens given so far good for nothing but to be answered with 403. */
  isForbidden = false;
  readonly #tokens = new Set<string>();
  readonly #publicKey: KeyObject;
  readonly #privateKey: string;

  constructor() {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    this.#publicKey = publicKey;
    this.#privateKey = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  }

  /** What Google's file of the account's key has. */
  keyFile(url: string): Record<string, string> {
    return {
      type: 'service_account',
      project_id: 'stub',
      private_key_id: 'key-1',
      private_key: this.#privateKey,
      client_email: this.email,
      token_uri: `${url}/token`,
    };
  }

  /** A token for a JWT that the account's key has signed; `undefined` for any other. */
  async exchange(form: URLSearchParams): Promise<string | undefined> {
    if (form.get('grant_type') !== 'urn:ietf:params:oauth:grant-type:jwt-bearer') return undefined;
    try {
      const { payload } = await jwtVerify(form.get('assertion') ?? '', this.#publicKey, { issuer: this.email });
      if (!String(payload['scope']).includes('devstorage')) return undefined;
    } catch {
      return undefined; // Google does not say either what is wrong with it.
    }
    const token = randomUUID();
    this.#tokens.add(token);
    return token;
  }

  checkToken(authorization: string | undefined): void {
    const [, token = ''] = /^Bearer (.+)$/.exec(authorization ?? '') ?? [];
    if (!this.#tokens.has(token)) throw new GcsFault(401, 'authError', 'Invalid Credentials');
    const message = `${this.email} does not have storage.objects.list access to the Google Cloud Storage bucket.`;
    if (this.isForbidden) throw new GcsFault(403, 'forbidden', message);
  }

  /** Version 4, https://cloud.google.com/storage/docs/authentication/canonical-requests. The SDK leaves the port out of the host. */
  checkSignedUrl(method: string, url: URL): void {
    const query = new URLSearchParams(url.search);
    const signature = Buffer.from(query.get('X-Goog-Signature') ?? '', 'hex');
    query.delete('X-Goog-Signature');
    const pairs = [...query].map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(value)}`).sort();
    const canonical = [method, url.pathname, pairs.join('&'), `host:${url.hostname}`, '', 'host', 'UNSIGNED-PAYLOAD'];
    const hash = createHash('sha256').update(canonical.join('\n')).digest('hex');
    const [, ...scope] = (query.get('X-Goog-Credential') ?? '').split('/');
    const text = ['GOOG4-RSA-SHA256', query.get('X-Goog-Date'), scope.join('/'), hash].join('\n');
    if (!verify('sha256', Buffer.from(text), this.#publicKey, signature)) {
      throw new GcsFault(403, 'SignatureDoesNotMatch', 'The request signature we calculated does not match.');
    }
  }
}
