declare module 'bencode' {
  type Bencodable =
    | string
    | number
    | Uint8Array
    | readonly Bencodable[]
    | { readonly [key: string]: Bencodable | undefined };
  const bencode: {
    encode(value: Bencodable): Uint8Array;
    /** Byte strings come back as Uint8Array unless an encoding is named. */
    decode(bytes: Uint8Array, encoding?: string): unknown;
  };
  export default bencode;
}
