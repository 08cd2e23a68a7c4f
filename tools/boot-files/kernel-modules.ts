/** The modules of a kernel package: which there are, what they depend on, and in which order they are loaded. */
import { globSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";

/** What a module says of itself. */
export interface ModuleInformation {
  /** Modules that must be loaded before it. */
  readonly depends: readonly string[];
  /** Modules, or their aliases, that should be. */
  readonly before: readonly string[];
  readonly aliases: readonly string[];
}

/** A module of the kernel. Names have underscores only, like those in /proc/modules. */
export interface KernelModule extends ModuleInformation {
  readonly name: string;
  readonly path: string;
}

/** Where modules are that others name by what they do: the algorithm of a checksum, for one. */
const foldersOfAlgorithms = ["kernel/crypto", "kernel/arch/x86/crypto"];

/** Reads the section .modinfo of a module's file: texts of the form `key=value`, each with a zero after it. */
export function readModuleInformation(file: Buffer): ModuleInformation {
  const values = (key: string): readonly string[] =>
    fields.flatMap((field) => (field.startsWith(`${key}=`) ? [field.slice(key.length + 1)] : []));
  const fields = sectionOf(file, ".modinfo").toString("latin1").split("\0");
  const words = (text: string, separator: RegExp): readonly string[] =>
    text.split(separator).filter((word) => word !== "");
  return {
    depends: values("depends").flatMap((text) => words(text, /,/).map(underscored)),
    before: values("softdep").flatMap((text) => words(/(?:^|\s)pre: (.*?)(?:\s*post:|$)/.exec(text)?.[1] ?? "", /\s+/)),
    aliases: values("alias"),
  };
}

/** A section of a 64-bit ELF file. */
function sectionOf(file: Buffer, wanted: string): Buffer {
  const table = Number(file.readBigUInt64LE(0x28));
  const [size, count, namesAt] = [0x3a, 0x3c, 0x3e].map((at) => file.readUInt16LE(at)) as [number, number, number];
  const header = (index: number): { readonly name: number; readonly content: Buffer } => {
    const at = table + index * size;
    const [start, length] = [at + 0x18, at + 0x20].map((each) => Number(file.readBigUInt64LE(each))) as [
      number,
      number,
    ];
    return { name: file.readUInt32LE(at), content: file.subarray(start, start + length) };
  };
  const names = header(namesAt).content;
  for (let index = 1; index < count; index += 1) {
    const { name, content } = header(index);
    if (names.toString("latin1", name, names.indexOf(0, name)) === wanted) return content;
  }
  throw new Error(`the file has no section ${wanted}: expected a module of the kernel`);
}

/** The modules below a folder such as /lib/modules/6.1.0-50-amd64. */
export class KernelModules {
  readonly folder: string;
  readonly #paths: ReadonlyMap<string, string>;
  readonly #builtIn: ReadonlySet<string>;
  readonly #read = new Map<string, KernelModule>();
  #algorithms: ReadonlyMap<string, readonly string[]> | undefined;

  constructor(folder: string) {
    this.folder = folder;
    const files = globSync("kernel/**/*.ko", { cwd: folder });
    this.#paths = new Map(files.map((path) => [nameOf(path), path]));
    const builtIn = readFileSync(join(folder, "modules.builtin"), "utf8")
      .split("\n")
      .filter((line) => line !== "");
    this.#builtIn = new Set(builtIn.map(nameOf));
  }

  /** The version of the kernel, as `uname -r` has it. */
  get release(): string {
    return basename(this.folder);
  }

  /** The modules with all that they need, each once and after what it needs. What is built into the kernel is left out. */
  inLoadingOrder(names: readonly string[]): readonly KernelModule[] {
    const order = new Map<string, KernelModule>();
    const add = (wanted: string, wantedBy: string): void => {
      const name = underscored(wanted);
      if (order.has(name) || this.#builtIn.has(name)) return;
      const found = this.#find(name);
      if (found === undefined)
        throw new Error(`the kernel ${this.release} has no module ${wanted}, which ${wantedBy} needs`);
      for (const before of found.before.flatMap((each) => this.#algorithm(each))) add(before, name);
      for (const each of found.depends) add(each, name);
      order.set(name, found);
    };
    for (const name of names) add(name, "the guest");
    return [...order.values()];
  }

  #find(name: string): KernelModule | undefined {
    const path = this.#paths.get(name);
    if (path === undefined) return undefined;
    let found = this.#read.get(name);
    if (found === undefined) {
      found = { name, path, ...readModuleInformation(readFileSync(join(this.folder, path))) };
      this.#read.set(name, found);
    }
    return found;
  }

  /** The modules of this name or alias. None is no error: what a module only should have before it may be absent. */
  #algorithm(name: string): readonly string[] {
    if (this.#paths.has(underscored(name))) return [name];
    this.#algorithms ??= this.#readAlgorithms();
    return this.#algorithms.get(name) ?? [];
  }

  #readAlgorithms(): ReadonlyMap<string, readonly string[]> {
    const byAlias = new Map<string, string[]>();
    const names = [...this.#paths].filter(([, path]) => foldersOfAlgorithms.some((folder) => path.startsWith(folder)));
    for (const [name] of names.sort(([one], [other]) => (one < other ? -1 : 1))) {
      for (const alias of this.#find(name)?.aliases ?? []) {
        byAlias.set(alias, [...(byAlias.get(alias) ?? []), name]);
      }
    }
    return byAlias;
  }
}

/** The tables that modprobe looks modules up in: modules.dep and modules.alias. It loads what a line has after the colon backwards. */
export function moduleTables(modules: readonly KernelModule[]): {
  readonly dependencies: string;
  readonly aliases: string;
} {
  const byName = new Map(modules.map((module) => [module.name, module]));
  const line = ({ path, depends }: KernelModule): string => {
    const order = new Set<string>();
    const add = (name: string): void => {
      const module = byName.get(name);
      if (module === undefined || order.has(module.path)) return;
      module.depends.forEach(add);
      order.add(module.path);
    };
    depends.forEach(add);
    return [`${path}:`, ...[...order].reverse()].join(" ");
  };
  const aliases = modules.flatMap(({ name, aliases }) => aliases.map((alias) => `alias ${alias} ${name}`));
  return { dependencies: lines(modules.map(line)), aliases: lines(aliases) };
}

function lines(texts: readonly string[]): string {
  return [...texts]
    .sort()
    .map((text) => `${text}\n`)
    .join("");
}

function nameOf(path: string): string {
  return underscored(basename(path, ".ko"));
}

function underscored(name: string): string {
  return name.replaceAll("-", "_");
}
