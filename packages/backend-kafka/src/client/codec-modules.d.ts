declare module 'lz4js' {
  /** Of an LZ4 frame. */
  export function decompress(frame: Uint8Array): Uint8Array;
  /** The most that it may decompress to, in bytes. */
  export function decompressBound(frame: Uint8Array): number;
}

declare module 'snappyjs' {
  /** Of a raw block. Throws where it has more bytes than that. */
  export function uncompress(block: Uint8Array, maxBytes: number): Uint8Array;
}
