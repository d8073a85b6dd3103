/** Where a command leaves its exit status. */
export interface CommandResult {
  /** 0 done, 1 failed, 2 not understood. */
  status: number;
}
