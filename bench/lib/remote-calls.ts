import { createInterface } from 'node:readline';

/** What can be asked of a child: by method, its parameters and its result; all of it JSON. */
export type Calls = { readonly [method: string]: { readonly params: object; readonly result: unknown } };

/** One line to a child. */
export interface CallLine {
  readonly id: number;
  readonly method: string;
  readonly params: object;
}

/** One line back. */
export type AnswerLine =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: string };

/** How a child answers each method. */
export type Handlers<C extends Calls> = {
  readonly [M in keyof C]: (params: C[M]['params']) => Promise<C[M]['result']>;
};

/**
 * The child's side: answers calls, one JSON object a line, from standard input on standard output, several at a time. When
 * standard input ends the parent is gone, and so is this process.
 */
export function serveCalls<C extends Calls>(handlers: Handlers<C>): void {
  const answer = (line: AnswerLine) => process.stdout.write(`${JSON.stringify(line)}\n`);
  const lines = createInterface({ input: process.stdin });
  lines.on('line', (text) => {
    const { id, method, params } = JSON.parse(text) as CallLine;
    const handler = handlers[method];
    if (handler === undefined) return void answer({ id, error: `no method ${method}` });
    handler(params).then(
      (result) => answer({ id, result }),
      (error: unknown) => answer({ id, error: error instanceof Error ? describe(error) : String(error) }),
    );
  });
  lines.on('close', () => process.exit(0));
}

function describe(error: Error): string {
  const cause = error.cause instanceof Error ? `: ${error.cause.message}` : '';
  return `${error.message}${cause}`;
}
