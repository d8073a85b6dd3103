/**
 * The order of the contract has the directory `a` before `a-b` and `a.b`, and all below it as well; the order of S3's keys
 * has `a/` behind both, because `-` and `.` come before the slash. No other character of a path does.
 *
 * These are the directories that S3 would tell of after a key although they come before it, if they exist: for the key
 * `p/a-b.c/d` below `p/` these are `p/a/` and `p/a-b/`. In the order in which they come; each ends with its slash.
 */
export function earlierDirectories(key: string, prefix: string): string[] {
  const directories: string[] = [];
  for (let index = prefix.length + 1; index < key.length; index += 1) {
    const isBeforeSlash = key[index] === '-' || key[index] === '.';
    if (isBeforeSlash && key[index - 1] !== '/') directories.push(`${key.slice(0, index)}/`);
  }
  return directories;
}
