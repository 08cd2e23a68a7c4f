import type { AnyMessageType } from "./service.ts";
import { type ErrorName, TtrpcError } from "./status.ts";

/** Throws a TtrpcError with the code when the bytes are not a message of the type. */
export function decodeMessage<T>(
  type: { decode(bytes: Uint8Array): T },
  payload: Uint8Array,
  what: string,
  code: ErrorName,
): T {
  try {
    return type.decode(payload);
  } catch (error) {
    throw new TtrpcError(code, `${what} cannot be decoded: ${(error as Error).message}.`, { cause: error });
  }
}

/** Throws a TtrpcError with the code Internal when the message does not match the type. */
export function encodeMessage(type: AnyMessageType, message: unknown, what: string): Uint8Array {
  try {
    return type.encode(message as never).finish();
  } catch (error) {
    throw new TtrpcError("Internal", `${what} cannot be encoded: ${(error as Error).message}.`, { cause: error });
  }
}
