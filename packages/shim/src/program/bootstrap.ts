import { describeError, ShimError } from "../errors.ts";
import { bytesField, decodeFields, encodeFields, numberField, textField } from "./protobuf-wire.ts";

/** A google.protobuf.Any with the runtime options of the container or sandbox. */
export interface RuntimeOptions {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

/**
 * The standard input of `start`: bare runtime options from containerd up to 2.2, or bootstrap parameters from 2.3 on,
 * which also select the format of the reply.
 */
export type StartInput =
  | { readonly dialect: "options"; readonly runtimeOptions?: RuntimeOptions }
  | {
      readonly dialect: "bootstrap";
      readonly runtimeOptions?: RuntimeOptions;
      readonly debug: boolean;
      readonly ttrpcAddress: string;
      readonly grpcAddress: string;
      readonly socketDirectory: string;
    };

/** The limit of containerd's own shim library, in bytes. */
export const longestStartInput = 10 * 1024 * 1024;

/**
 * An options Any also decodes as BootstrapParams: its type becomes the id, its value the namespace. So the input counts
 * as parameters only when id and namespace match the flags, as in containerd's own library.
 */
export function parseStartInput(
  input: Uint8Array,
  expected: { readonly id: string; readonly namespace: string },
): StartInput {
  if (input.length === 0) return { dialect: "options" };
  try {
    const fields = decodeFields(input);
    if (textField(fields, 1) === expected.id && textField(fields, 2) === expected.namespace) {
      const extensions = fields.flatMap((field) =>
        field.number === 8 && field.value instanceof Uint8Array ? [field.value] : [],
      );
      const options = extensions
        .map((extension) => bytesField(decodeFields(extension), 1))
        .flatMap((any) => (any === undefined ? [] : [decodeAny(any)]))
        .find((any) => any.typeUrl.endsWith("Options"));
      return {
        dialect: "bootstrap",
        ...(options === undefined ? {} : { runtimeOptions: options }),
        debug: numberField(fields, 3) < 0,
        ttrpcAddress: textField(fields, 5),
        grpcAddress: textField(fields, 6),
        socketDirectory: textField(fields, 9),
      };
    }
    return { dialect: "options", runtimeOptions: decodeAny(input) };
  } catch (error) {
    throw new ShimError(
      "InvalidArgument",
      `start: standard input (${input.length} bytes) is neither runtime options nor bootstrap parameters of ${expected.namespace}/${expected.id}: ${describeError(error)}`,
      { cause: error },
    );
  }
}

/** Decodes a google.protobuf.Any, which `start` must read before the generated code is loaded. */
export function decodeAny(bytes: Uint8Array): RuntimeOptions {
  const fields = decodeFields(bytes);
  return { typeUrl: textField(fields, 1), value: Uint8Array.from(bytesField(fields, 2) ?? []) };
}

/** The format in which the caller of `start` expects the reply. */
export type ReplyDialect =
  /** containerd 1.6: the bare address; it speaks version 2 of the Task service. */
  | { readonly kind: "address" }
  /** containerd 1.7 to 2.2: JSON. 1.7 refuses a version above 2; 2.x uses the Sandbox API from version 3 on. */
  | { readonly kind: "json"; readonly version: 2 | 3 }
  /** containerd 2.3 and later: a BootstrapResult. */
  | { readonly kind: "protobuf" };

/** The reply of `start` in the form that its caller understands. */
export function encodeReply(dialect: ReplyDialect, address: string): Buffer {
  switch (dialect.kind) {
    case "address":
      return Buffer.from(address);
    case "json":
      return Buffer.from(JSON.stringify({ version: dialect.version, address, protocol: "ttrpc" }));
    case "protobuf":
      return encodeFields([
        [1, 3],
        [2, address],
        [3, "ttrpc"],
      ]);
  }
}

/** The type URL under which containerd registers `Features`, encoded as JSON. */
const featuresType = "types.containerd.io/opencontainers/runtime-spec/1/features/Features";

/** The reply to `-info`: containerd.types.RuntimeInfo. */
export function encodeRuntimeInfo(
  name: string,
  { version, revision }: { readonly version: string; readonly revision: string },
  features?: object,
): Buffer {
  return encodeFields([
    [1, name],
    [
      2,
      encodeFields([
        [1, version],
        [2, revision],
      ]),
    ],
    ...(features === undefined ? [] : ([[4, encodeAny(featuresType, JSON.stringify(features))]] as const)),
  ]);
}

/** Encodes a google.protobuf.Any. */
export function encodeAny(typeUrl: string, value: string | Uint8Array): Buffer {
  return encodeFields([
    [1, typeUrl],
    [2, value],
  ]);
}
