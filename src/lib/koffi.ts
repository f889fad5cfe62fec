/** A pointer as koffi gives and takes it: an address, or null. */
export type Pointer = bigint | null;

/** The part of koffi that is used here; its own types say `any`. */
export interface KoffiFunction {
  (...args: readonly unknown[]): unknown;
  /** Runs on a thread of libuv's pool; the callback comes last. */
  async(...args: readonly unknown[]): void;
}

export interface LibraryHandle {
  func(definition: string): KoffiFunction;
}

export interface Koffi {
  load(path: string): LibraryHandle;
  /** What the last call on this thread left in errno. */
  errno(): number;
  decode: {
    string(pointer: Pointer, length?: number): string;
    (pointer: Pointer, type: string, length: number): unknown;
  };
}

/** Loaded where it is asked for, not at the top: most roles of the bundle have no use for a native library. */
export async function loadKoffi(): Promise<Koffi> {
  const module = (await import('koffi')) as unknown as { default?: Koffi } & Koffi;
  return module.default ?? module;
}
