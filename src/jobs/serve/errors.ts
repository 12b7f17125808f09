/** What can be wrong with a request, with the status and the JSON that clients of chat-completion services read. */
import { FewbitError } from '../../errors.ts';

export class RequestError extends Error {
  readonly status: number;
  readonly code: string | null;
  readonly param: string | null;

  constructor(status: number, message: string, { code = null, param = null }: { readonly code?: string | null; readonly param?: string | null } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.param = param;
  }
}

/** Errors of the model and its tokenizer are the request's fault: everything else about them was checked when it was opened. */
export function requestError(error: unknown): RequestError {
  if (error instanceof RequestError) return error;
  if (error instanceof FewbitError) {
    if (error.code === 'chat.none') return new RequestError(400, `${error.message}: send a prompt to /v1/completions`, { param: 'messages', code: 'no_chat_template' });
    return new RequestError(400, error.message, { code: error.code });
  }
  return new RequestError(500, 'internal error', { code: 'internal_error' });
}

export function errorBody({ status, message, code, param }: RequestError): object {
  const type = status >= 500 ? 'server_error' : status === 429 ? 'rate_limit_error' : 'invalid_request_error';
  return { error: { message, type, param, code } };
}
