import Type, { type Static } from 'typebox';

/** Text that stands between quotes in a challenge (RFC 9110, section 5.6.4), without anything that would have to be escaped. */
const quotable = { minLength: 1, maxLength: 200, pattern: '^[ !#-\\[\\]-~]+$' } as const;
/** A URL without a user in it; what it may be beyond that is checked when it is opened. */
const url = { maxLength: 2000, pattern: '^https?://[^@\\s"\\\\]+$' } as const;

/** Signatures made with a private key, to be checked with a public one. HS256 and its like are not among them. */
const AlgorithmSchema = Type.Union([
  Type.Literal('ES256'),
  Type.Literal('ES384'),
  Type.Literal('ES512'),
  Type.Literal('EdDSA'),
  Type.Literal('PS256'),
  Type.Literal('PS384'),
  Type.Literal('PS512'),
  Type.Literal('RS256'),
  Type.Literal('RS384'),
  Type.Literal('RS512'),
]);

const HtpasswdSchema = Type.Object(
  {
    file: Type.String({
      minLength: 1,
      description: 'File of users with bcrypt hashes, as `htpasswd -B` writes it; read again when it changes.',
    }),
    realm: Type.String({
      ...quotable,
      default: 'Shoal',
      description: 'What a client may show when it asks for a password.',
    }),
  },
  { additionalProperties: false, description: 'Users with passwords.' },
);

const TokenSchema = Type.Object(
  {
    realm: Type.String({ ...url, description: 'URL of the token server, to which clients go with their password.' }),
    service: Type.String({
      ...quotable,
      description: 'Name of this registry at the token server: `aud` of its tokens.',
    }),
    issuer: Type.String({
      minLength: 1,
      maxLength: 2000,
      description: 'Name of the token server: `iss` of its tokens.',
    }),
    jwksFile: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'File with the public keys of the token server (JWKS); read again when it changes.',
      }),
    ),
    jwksUrl: Type.Optional(
      Type.String({ ...url, description: 'In the place of `jwksFile`: URL that gives the public keys (JWKS).' }),
    ),
    algorithms: Type.Array(AlgorithmSchema, {
      minItems: 1,
      maxItems: 10,
      default: ['ES256', 'RS256', 'EdDSA'],
      description: 'Signatures that are taken.',
    }),
  },
  { additionalProperties: false, description: 'Tokens from a token server, as distribution takes them.' },
);

const RuleSchema = Type.Object(
  {
    callers: Type.Array(Type.String({ minLength: 1, maxLength: 256 }), {
      minItems: 1,
      maxItems: 1000,
      description:
        'Names of users; `anonymous` is everybody, `authenticated` all who have logged in, `token` all who come with a token.',
    }),
    repositories: Type.Array(Type.String({ maxLength: 255, pattern: '^[a-z0-9._*-]+(/[a-z0-9._*-]+)*$' }), {
      maxItems: 1000,
      default: [],
      description: 'Patterns: `*` stands for any text without a slash, `**` at the end for one or more components.',
    }),
    actions: Type.Array(Type.Union([Type.Literal('pull'), Type.Literal('push'), Type.Literal('delete')]), {
      maxItems: 3,
      default: [],
      description: 'What they may do there.',
    }),
    catalog: Type.Boolean({ default: false, description: 'Whether they may list all repositories.' }),
  },
  { additionalProperties: false, description: 'What some callers may do.' },
);

/** Who may do what on the registry API. A program without this section lets everybody do everything. */
export const AccessConfigSchema = Type.Object(
  {
    htpasswd: Type.Optional(HtpasswdSchema),
    token: Type.Optional(TokenSchema),
    rules: Type.Array(RuleSchema, {
      maxItems: 1000,
      default: [],
      description:
        'Who may do what: a list of sections with `callers`, `repositories`, `actions` and `catalog`. What no rule and no token ' +
        'grants is denied.',
    }),
  },
  { additionalProperties: false, description: 'Who may do what; without it everybody may do everything.' },
);
export type AccessConfig = Static<typeof AccessConfigSchema>;
export type HtpasswdConfig = Static<typeof HtpasswdSchema>;
export type TokenConfig = Static<typeof TokenSchema>;
export type AccessRule = Static<typeof RuleSchema>;
