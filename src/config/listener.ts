import Type, { type Static } from 'typebox';
import { ConfigError } from '../core/index.ts';

/** PEM files of a server. */
export const TlsConfigSchema = Type.Object(
  {
    certFile: Type.String({
      minLength: 1,
      description: 'PEM file with the certificate and those that vouch for it; read again when it changes.',
    }),
    keyFile: Type.String({
      minLength: 1,
      description: 'PEM file with the private key of the certificate; read again when it changes.',
    }),
  },
  { additionalProperties: false, description: 'A certificate and its key make the listener HTTPS.' },
);

/** Where a program that serves the registry API listens. */
export function registryListenSchema(defaultPort: number) {
  return Type.Object(
    {
      host: Type.String({
        default: 'localhost',
        minLength: 1,
        description: 'Address to listen on; `localhost` is 127.0.0.1 and ::1. Any other than loopback needs `tls`.',
      }),
      port: Type.Integer({
        default: defaultPort,
        minimum: 0,
        maximum: 65535,
        description: 'TCP port; 0 takes a free one.',
      }),
      tls: Type.Optional(TlsConfigSchema),
    },
    { additionalProperties: false, description: 'Where the registry is served.' },
  );
}

export type RegistryListenConfig = Static<ReturnType<typeof registryListenSchema>>;

/** A listener, as {@link refuseOpenListener} judges it. */
export interface ListenerFacts {
  readonly role: string;
  readonly host: string;
  /** Whether only this machine can reach it. */
  readonly loopback: boolean;
  readonly tls: boolean;
  /** Whether every route that matters asks for the cluster token; the registry API does not. */
  readonly asksToken: boolean;
}

/**
 * Refuses a listener that other machines can reach while nothing protects it.
 * @throws ConfigError that says what to set
 */
export function refuseOpenListener({ role, host, loopback, tls, asksToken }: ListenerFacts): void {
  if (loopback || tls || asksToken) return;
  throw new ConfigError(
    `the ${role} would serve ${host} to other machines without TLS: set listen.tls.certFile and listen.tls.keyFile, ` +
      'or listen.host: localhost',
    { role, host },
  );
}
