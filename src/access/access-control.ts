import {
  type AccessControl,
  AccessDeniedError,
  AuthenticationRequiredError,
  type Caller,
  type Need,
} from '../registry/index.ts';
import { readAuthorization } from './authorization.ts';
import { basicChallenge, bearerChallenge, type TokenError } from './challenge.ts';
import type { PasswordLogin } from './password-login.ts';
import { bothOf, eitherOf, type Rights } from './rights.ts';
import { classNames, type Rules } from './rules.ts';
import type { TokenLogin } from './token-login.ts';

/** What decides. */
export interface AccessParts {
  readonly rules: Rules;
  readonly passwords: PasswordLogin | undefined;
  readonly tokens: TokenLogin | undefined;
}

const { anonymous, authenticated, token: tokenHolder } = classNames;

/**
 * Lets in who may, by password, by token or without either. Whoever opened it disposes of it.
 *
 * A client that is refused gets the challenge of the way that it came by; one that came by none is sent to the token server
 * where there is one, as clients that see both take the password only, or fail.
 */
export class ConfiguredAccess implements AccessControl, AsyncDisposable {
  readonly #rules: Rules;
  readonly #passwords: PasswordLogin | undefined;
  readonly #tokens: TokenLogin | undefined;

  constructor({ rules, passwords, tokens }: AccessParts) {
    this.#rules = rules;
    this.#passwords = passwords;
    this.#tokens = tokens;
  }

  /** As the contract says; also throws UnavailableError when logins cannot be checked now. */
  async admit(authorization: string | undefined, need: Need, signal: AbortSignal): Promise<Caller> {
    // Where nobody can log in, credentials mean nothing, and to ask for others would be in vain.
    if (this.#passwords === undefined && this.#tokens === undefined) return this.#admitAnonymous(need);
    const credentials = readAuthorization(authorization);
    switch (credentials.kind) {
      case 'none':
        return this.#admitAnonymous(need);
      case 'password':
        return this.#admitUser(credentials, need, signal);
      case 'token':
        return this.#admitToken(credentials.token, need, signal);
      case 'unreadable':
        throw this.#refusal(credentials.reason, need, 'invalid_token');
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#passwords?.close();
    await this.#tokens?.close();
  }

  #admitAnonymous(need: Need): Caller {
    const rights = this.#rules.rightsOf([anonymous]);
    if (this.#passwords === undefined && this.#tokens === undefined) {
      const isLetIn = need.kind === 'entry' ? this.#rules.knows([anonymous]) : rights.may(need);
      if (isLetIn) return { name: '', ...rights };
      throw new AccessDeniedError(`nobody may ${formatNeed(need)}: no rule of this registry grants it`);
    }
    // The entry is where clients find out that they can log in, and some never send what they were not asked for there.
    if (need.kind !== 'entry' && rights.may(need)) return { name: '', ...rights };
    throw this.#refusal(`log in to ${formatNeed(need)}`, need);
  }

  async #admitUser(
    { user, password }: { readonly user: string; readonly password: string },
    need: Need,
    signal: AbortSignal,
  ): Promise<Caller> {
    if (this.#passwords === undefined) {
      throw this.#refusal('this registry takes tokens, not passwords: the token server takes them', need);
    }
    if (!(await this.#passwords.verify(user, password, signal))) {
      throw new AuthenticationRequiredError('user or password are wrong', basicChallenge(this.#passwords.realm));
    }
    const rights = this.#rules.rightsOf([user, authenticated, anonymous]);
    if (rights.may(need)) return { name: user, ...rights };
    throw new AccessDeniedError(`${user} may not ${formatNeed(need)}: no rule of this registry grants it`);
  }

  async #admitToken(token: string, need: Need, signal: AbortSignal): Promise<Caller> {
    if (this.#tokens === undefined) throw this.#refusal('this registry takes passwords, not tokens', need);
    const verdict = await this.#tokens.verify(token, signal);
    if (!verdict.taken) throw this.#refusal(`the token is not taken: ${verdict.reason}`, need, 'invalid_token');
    const { subject, grants } = verdict;
    const limit = this.#limitOf(subject);
    const granted = limit === undefined ? grants : bothOf(grants, limit);
    const rights = eitherOf(granted, this.#rules.rightsOf([anonymous]));
    if (rights.may(need)) return { name: subject, ...rights };
    // No token whatever could do more than the rules: to ask for another one would be in vain.
    if (limit?.may(need) === false) {
      throw new AccessDeniedError(
        `${subject || anonymous} may not ${formatNeed(need)}: no rule of this registry grants it`,
      );
    }
    throw this.#refusal(`the token does not grant to ${formatNeed(need)}`, need, 'insufficient_scope');
  }

  /** What the rules leave of a token; `undefined` when they say nothing of those who log in. */
  #limitOf(subject: string): Rights | undefined {
    if (!this.#rules.nameCallers) return undefined;
    const names = [anonymous, tokenHolder];
    // A token server gives tokens to people without a name as well.
    return this.#rules.rightsOf(subject === '' ? names : [...names, authenticated, subject]);
  }

  #refusal(message: string, need: Need, error?: TokenError): AuthenticationRequiredError {
    const challenge =
      this.#tokens === undefined
        ? basicChallenge(this.#passwords?.realm ?? '')
        : bearerChallenge(this.#tokens, need, error);
    return new AuthenticationRequiredError(message, challenge);
  }
}

/** What is wanted, in words that fit behind "may". */
function formatNeed(need: Need): string {
  if (need.kind === 'entry') return 'use this registry';
  if (need.kind === 'catalog') return 'list the repositories';
  return need.action === 'delete' ? `delete from ${need.repository}` : `${need.action} ${need.repository}`;
}
