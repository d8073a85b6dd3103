// distribution writes UUIDs; Shoal writes signed ids of the same characters. The bound keeps a file name a file name.
const uploadIdPattern = /^[A-Za-z0-9_-]{1,128}$/;

/** Whether `text` can name an upload in a path: 1 to 128 letters, digits, `_` and `-`. */
export function isUploadId(text: string): boolean {
  return uploadIdPattern.test(text);
}
