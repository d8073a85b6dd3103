import { ConfigError } from '../../core/index.ts';
import { answerOf, isSignInFailure, toDriverError } from './azure-errors.ts';
import { type AzureConnection, connect } from './connection.ts';
import { type AzureParameters, driverName } from './parameters.ts';

/** {@link connect} for whoever has written the configuration. @throws ConfigError */
export async function connectOrExplain(settings: AzureParameters): Promise<AzureConnection> {
  try {
    return await connect(settings);
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError(`storage driver ${driverName}: cannot sign in by these parameters (${text})`, {}, { cause });
  }
}

/** What the first request's error means for whoever has written the configuration; others are made driver errors. */
export function toOpeningError(error: unknown, { container }: AzureParameters, url: string): unknown {
  const answer = answerOf(error);
  // The URL may have a signature behind it.
  const [place = ''] = url.split('?');
  const fail = (what: string) =>
    new ConfigError(
      `storage driver ${driverName}: ${what}`,
      { container, url: place, code: answer?.code },
      { cause: error },
    );
  if (error instanceof Error && isSignInFailure(error)) {
    return fail(`"credentials" do not sign in for ${place} (${error.name}: ${error.message})`);
  }
  if (answer?.status === 404)
    return fail(`there is no container "${container}" at ${place}; make it, or correct "container"`);
  const isRefused = answer?.status === 401 || answer?.status === 403;
  if (isRefused) return fail(`the service refuses the credentials for ${place} (${answer.status} ${answer.code})`);
  return toDriverError(error, '/');
}
