/**
 * Compiles packages/<name>/proto/*.proto to packages/<name>/src/generated/messages.js and messages.d.ts, and those of
 * test/ likewise.
 *
 * Code and declarations come from pbjs's JSON descriptor. A message is one line, a text of its fields for
 * @uvm-shim/protobuf, which reads it when the message is first used: pbjs's own code is twenty times as long, and a shim
 * that starts loads all of it. Service blocks become plain data, `{ name, methods }`, at their full name.
 *
 * 64-bit integers are numbers, exact up to 2^53: every one in these protocols is a duration, an amount of memory or a
 * time, and Long objects would force a conversion on each reader.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import pbjs from "protobufjs-cli/pbjs.js";

interface Field {
  readonly id: number;
  readonly type: string;
  readonly rule?: "repeated";
  readonly keyType?: string;
  readonly options?: { readonly proto3_optional?: boolean };
}

interface Method {
  readonly requestType: string;
  readonly responseType: string;
  readonly requestStream?: boolean;
  readonly responseStream?: boolean;
}

/** What pbjs writes for a namespace, message, enum or service; which of them it is shows in the keys that it has. */
interface Descriptor {
  readonly nested?: { readonly [name: string]: Descriptor };
  readonly fields?: { readonly [name: string]: Field };
  readonly values?: { readonly [name: string]: number };
  readonly methods?: { readonly [name: string]: Method };
}

interface Declared {
  readonly path: readonly string[];
  readonly descriptor: Descriptor;
}

const root = dirname(dirname(fileURLToPath(import.meta.url)));

const scalars: { readonly [type: string]: string } = {
  double: "number",
  float: "number",
  int32: "number",
  uint32: "number",
  sint32: "number",
  fixed32: "number",
  sfixed32: "number",
  int64: "number",
  uint64: "number",
  sint64: "number",
  fixed64: "number",
  sfixed64: "number",
  bool: "boolean",
  string: "string",
  bytes: "Uint8Array",
};

function runPbjs(args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    pbjs.main([...args], (error, output) => {
      if (error !== null) reject(error);
      else resolve(output ?? "");
    });
  });
}

function declaredBelow(descriptor: Descriptor, path: readonly string[]): Declared[] {
  return Object.entries(descriptor.nested ?? {}).flatMap(([name, nested]) => {
    const here = [...path, name];
    return [{ path: here, descriptor: nested }, ...declaredBelow(nested, here)];
  });
}

/** Full name of a type as protobuf resolves it: from the innermost scope outwards. */
function fullName(type: string, scope: readonly string[], known: ReadonlyMap<string, Descriptor>): string {
  for (let depth = scope.length; depth >= 0; depth--) {
    const candidate = [...scope.slice(0, depth), type].join(".");
    if (known.has(candidate)) return candidate;
  }
  throw new Error(`${scope.join(".")} uses the type ${type}, which no .proto file declares`);
}

function indent(lines: readonly string[]): string[] {
  return lines.map((line) => `  ${line}`);
}

function fieldType(field: Field, scope: readonly string[], known: Map<string, Descriptor>, input: boolean): string {
  const name = scalars[field.type] ?? fullName(field.type, scope, known);
  const declared = known.get(name);
  const isMessage = declared?.fields !== undefined;
  // Enums are open on the wire: a peer may send a number that this side does not know.
  const single = declared?.values !== undefined ? "number" : isMessage && input ? `${name}.Input` : name;
  if (field.keyType !== undefined) return `{ [key: string]: ${single} }`;
  if (field.rule === "repeated") return input ? `readonly ${single}[]` : `${single}[]`;
  return !input && (isMessage || field.options?.proto3_optional === true) ? `${single} | null` : single;
}

/** A namespace beside a constant of the same name may have types alone: what is nested in a message is in the constant's type. */
function messageDeclaration({ path, descriptor }: Declared, known: Map<string, Descriptor>): string[] {
  const name = path.at(-1) ?? "";
  return [...messageTypes({ path, descriptor }, known), `const ${name}: ${messageValue({ path, descriptor })};`];
}

function messageTypes({ path, descriptor }: Declared, known: Map<string, Descriptor>): string[] {
  const name = path.at(-1) ?? "";
  const fields = Object.entries(descriptor.fields ?? {});
  const members = fields.map(([field, of]) => `  ${field}: ${fieldType(of, path, known, false)};`);
  const inputs = fields.map(([field, of]) => `  ${field}?: ${fieldType(of, path, known, true)} | null | undefined;`);
  const nested = Object.entries(descriptor.nested ?? {}).flatMap(([inner, of]) =>
    of.values === undefined
      ? messageTypes({ path: [...path, inner], descriptor: of }, known)
      : [enumType(inner, of.values)],
  );
  return [
    `interface ${name} {`,
    ...members,
    "}",
    `namespace ${name} {`,
    ...indent(["interface Input {", ...inputs, "}", ...nested]),
    "}",
  ];
}

function messageValue({ path, descriptor }: Declared): string {
  const name = path.join(".");
  const nested = Object.entries(descriptor.nested ?? {}).map(([inner, of]) => {
    const value =
      of.values === undefined ? messageValue({ path: [...path, inner], descriptor: of }) : enumValue(of.values);
    return `readonly ${inner}: ${value}`;
  });
  const own = `$Message<${name}, ${name}.Input>`;
  return nested.length === 0 ? own : `${own} & { ${nested.join("; ")} }`;
}

function enumType(name: string, values: { readonly [name: string]: number }): string {
  return `type ${name} = ${[...new Set(Object.values(values))].join(" | ")};`;
}

function enumValue(values: { readonly [name: string]: number }): string {
  return `{ ${Object.entries(values)
    .map(([value, number]) => `readonly ${value}: ${number}`)
    .join("; ")} }`;
}

function methodKind(method: Method): string {
  if (method.requestStream === true) return method.responseStream === true ? "bidi" : "clientStream";
  return method.responseStream === true ? "serverStream" : "unary";
}

function serviceText(service: Declared, known: Map<string, Descriptor>, dts: boolean): string[] {
  const [readonly, of, end] = dts ? ["readonly ", "typeof ", ";"] : ["", "", ","];
  const name = service.path.join(".");
  const methods = Object.entries(service.descriptor.methods ?? {}).map(([method, types]) => {
    const request = of + fullName(types.requestType, service.path, known);
    const response = of + fullName(types.responseType, service.path, known);
    const members = `kind: "${methodKind(types)}"${end} ${readonly}request: ${request}${end} ${readonly}response: ${response}`;
    return `    ${readonly}${method}: { ${readonly}${members} }${end}`;
  });
  return [`  ${readonly}name: "${name}"${end}`, `  ${readonly}methods: {`, ...methods, `  }${end}`];
}

function declarations(descriptor: Descriptor, path: readonly string[], known: Map<string, Descriptor>): string[] {
  return Object.entries(descriptor.nested ?? {}).flatMap(([name, nested]) => {
    const here = { path: [...path, name], descriptor: nested };
    if (nested.fields !== undefined) return messageDeclaration(here, known);
    if (nested.values !== undefined)
      return [enumType(name, nested.values), `const ${name}: ${enumValue(nested.values)};`];
    if (nested.methods !== undefined) return [`const ${name}: {`, ...serviceText(here, known, true), "};"];
    const keyword = path.length === 0 ? "export namespace" : "namespace";
    return [`${keyword} ${name} {`, ...indent(declarations(nested, here.path, known)), "}"];
  });
}

const declarationPrelude = [
  "/** A message: `T` as decoded, with defaults for what was absent; `I` as encoded. Constructed, it has the defaults. */",
  "export interface $Message<T, I> {",
  "  new (properties?: I): T;",
  "  encode(message: I): { finish(): Uint8Array };",
  "  decode(bytes: Uint8Array): T;",
  "}",
];

/** A field as @uvm-shim/protobuf reads it. */
function fieldText(name: string, field: Field, scope: readonly string[], known: Map<string, Descriptor>): string {
  const type = scalars[field.type] === undefined ? fullName(field.type, scope, known) : field.type;
  const isEnum = known.get(type)?.values !== undefined;
  return `${field.id}${labelOf(field)} ${name} ${isEnum ? "enum" : type}`;
}

function labelOf({ keyType, rule, options }: Field): string {
  if (keyType !== undefined) {
    if (keyType !== "string" && !/32$/.test(keyType)) throw new Error(`Keys of type ${keyType} are not supported.`);
    return `${keyType}:`;
  }
  if (rule === "repeated") return "*";
  return options?.proto3_optional === true ? "?" : "";
}

function code(descriptor: Descriptor, path: readonly string[], known: Map<string, Descriptor>): string[] {
  return Object.entries(descriptor.nested ?? {}).flatMap(([name, nested]) => {
    const here = [...path, name];
    if (nested.values !== undefined) return [`${name}: ${JSON.stringify(nested.values)},`];
    // It refers to messages of other namespaces.
    if (nested.methods !== undefined) return [];
    const inner = code(nested, here, known);
    if (nested.fields === undefined) return [`${name}: {`, ...indent(inner), "},"];
    const fields = Object.entries(nested.fields).toSorted(([, a], [, b]) => a.id - b.id);
    const text = JSON.stringify(fields.map(([field, of]) => fieldText(field, of, here, known)).join());
    return inner.length === 0
      ? [`${name}: message(${text}),`]
      : [`${name}: message(${text}, {`, ...indent(inner), "}),"];
  });
}

function moduleText(descriptor: Descriptor, known: Map<string, Descriptor>): string[] {
  const roots = Object.keys(descriptor.nested ?? {});
  return [
    'import { messages } from "@uvm-shim/protobuf";',
    `const message = messages(() => ({ ${roots.join(", ")} }));`,
    ...roots.flatMap((root) => [
      `export const ${root} = {`,
      ...indent(code(descriptor.nested?.[root] ?? {}, [root], known)),
      "};",
    ]),
  ];
}

async function generate(folder: string, protos: readonly string[]): Promise<void> {
  const name = basename(folder);
  const output = join(root, folder, "src", "generated");
  const file = join(output, "messages.js");
  const hash = createHash("sha256").update(readFileSync(fileURLToPath(import.meta.url)));
  for (const proto of protos) hash.update("\0").update(proto).update("\0").update(readFileSync(proto));
  const header = `// Generated by tools/generate-protobuf.ts from the .proto files of ${name}; sources ${hash.digest("hex")}\n`;
  if (existsSync(file) && readFileSync(file, "utf8").startsWith(header)) return;

  const descriptor = JSON.parse(await runPbjs(["-t", "json", ...protos])) as Descriptor;
  const declared = declaredBelow(descriptor, []);
  const known = new Map(declared.map(({ path, descriptor }) => [path.join("."), descriptor]));
  const services = declared
    .filter(({ descriptor }) => descriptor.methods !== undefined)
    .flatMap((service) => [`${service.path.join(".")} = {`, ...serviceText(service, known, false), "};"]);

  mkdirSync(output, { recursive: true });
  const types = [...declarationPrelude, ...declarations(descriptor, [], known)];
  writeFileSync(join(output, "messages.d.ts"), `${header}${types.join("\n")}\n`);
  writeFileSync(file, `${header}${[...moduleText(descriptor, known), ...services].join("\n")}\n`);
}

const packages = readdirSync(join(root, "packages")).map((name) => join("packages", name));
for (const folder of [...packages.sort(), "test"]) {
  const sources = join(root, folder, "proto");
  if (!existsSync(sources)) continue;
  const protos = readdirSync(sources).filter((file) => file.endsWith(".proto"));
  await generate(
    folder,
    protos.sort().map((file) => join(sources, file)),
  );
}
