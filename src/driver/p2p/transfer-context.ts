import type { TransferContext } from '../../transfer/index.ts';
import type { Call } from './handlers.ts';

/** What travels on to the transferer. */
export function transferContext({ context }: Call): TransferContext {
  return context.signal === undefined ? {} : { signal: context.signal };
}
