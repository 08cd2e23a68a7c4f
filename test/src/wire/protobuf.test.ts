/** The generated messages against protobufjs, which reads the same .proto files: both write the same bytes, and read them. */
import { globSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as shim from "@uvm-shim/shim/protocol";
import fc from "fast-check";
import protobuf from "protobufjs";
import { describe, expect, it } from "vitest";

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const protos = globSync("packages/shim/proto/*.proto", { cwd: root }).map((file) => join(root, file));
const declared = new protobuf.Root();
declared.loadSync(protos.sort());
declared.resolveAll();

interface Generated {
  encode(message: object): { finish(): Uint8Array };
  decode(bytes: Uint8Array): object;
}

/** Generated messages by the full names of their declarations. Namespaces that are not exported have none. */
const pairs = typesBelow(declared).flatMap((type): (readonly [string, protobuf.Type, Generated])[] => {
  const name = type.fullName.slice(1);
  let at: unknown = shim;
  for (const part of name.split(".")) at = (at as Record<string, unknown> | undefined)?.[part];
  return at === undefined ? [] : [[name, type, at as Generated]];
});

function typesBelow(namespace: protobuf.NamespaceBase): readonly protobuf.Type[] {
  return namespace.nestedArray.flatMap((nested) => [
    ...(nested instanceof protobuf.Type ? [nested] : []),
    ...(nested instanceof protobuf.Namespace ? typesBelow(nested) : []),
  ]);
}

const scalars: { readonly [type: string]: fc.Arbitrary<unknown> } = {
  string: fc.string({ unit: "grapheme", maxLength: 40 }),
  bytes: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  bool: fc.boolean(),
  double: fc.double({ noNaN: true }).filter((value) => !Object.is(value, -0)),
  int32: fc.integer(),
  uint32: fc.nat({ max: 0xffffffff }),
  int64: fc.maxSafeInteger(),
  uint64: fc.maxSafeNat(),
};

function valuesOf(type: protobuf.Type, depth: number): fc.Arbitrary<object> {
  const fields = type.fieldsArray.map((field) => [field.name, fieldValues(field, depth)] as const);
  return fc.record(Object.fromEntries(fields), { requiredKeys: [], noNullPrototype: true });
}

function fieldValues(field: protobuf.Field, depth: number): fc.Arbitrary<unknown> {
  const single = singleValues(field, depth);
  if (field.map) return fc.dictionary(fc.string({ minLength: 1 }), single, { maxKeys: 3, noNullPrototype: true });
  return field.repeated ? fc.array(single, { maxLength: 3 }) : single;
}

function singleValues(field: protobuf.Field, depth: number): fc.Arbitrary<unknown> {
  const { resolvedType } = field;
  if (resolvedType instanceof protobuf.Enum) return fc.constantFrom(...Object.values(resolvedType.values));
  if (resolvedType instanceof protobuf.Type) return depth === 0 ? fc.constant({}) : valuesOf(resolvedType, depth - 1);
  const values = scalars[field.type];
  if (values === undefined) throw new Error(`${field.fullName}: no values for the type ${field.type}`);
  return values;
}

describe("generated messages", () => {
  it("are those of the .proto files", () => {
    expect(pairs.length).toBeGreaterThan(90);
  });

  it.each(pairs)(
    "%s are on the wire as protobufjs writes them, and are read as it reads them",
    (_, type, generated) => {
      const plain = (bytes: Uint8Array): object =>
        type.toObject(type.decode(bytes), { defaults: true, arrays: true, objects: true, longs: Number });
      fc.assert(
        fc.property(valuesOf(type, 2), (value) => {
          const bytes = generated.encode(value).finish();
          expect(Buffer.from(bytes)).toEqual(Buffer.from(type.encode(value).finish()));
          const read = generated.decode(bytes);
          expect(plain(generated.encode(read).finish())).toEqual(plain(bytes));
        }),
        { numRuns: 25 },
      );
    },
  );
});
