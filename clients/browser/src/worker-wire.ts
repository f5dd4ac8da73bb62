import type { Handling, TokenStatus } from './types.js';

/** A request as it crosses to the worker, and an answer as it comes back. Only the worker ever has a token in hand. */
export type WireRequest = Pick<
  Request,
  'url' | 'method' | 'cache' | 'credentials' | 'integrity' | 'keepalive' | 'mode' | 'redirect' | 'referrerPolicy'
> & {
  readonly headers: [string, string][];
  readonly body: Blob | null;
};

export interface WireResponse {
  readonly url: string;
  readonly type: ResponseType;
  readonly redirected: boolean;
  readonly status: number;
  readonly statusText: string;
  readonly headers: [string, string][];
  readonly body: ReadableStream<Uint8Array> | ArrayBuffer | null;
}

export type ToWorker =
  | { readonly open: { readonly paths: readonly string[]; readonly trustRedirects: boolean } }
  | { readonly id: number; readonly send: WireRequest; readonly handling: Handling }
  | { readonly abort: number }
  | { readonly clear: true };

export type FromWorker = { readonly id: number } & (
  | { readonly response: WireResponse; readonly status: TokenStatus | null }
  | { readonly failure: { readonly name: string; readonly message: string } }
  /** The body has been read to its end or given up. */
  | { readonly done: true }
);
