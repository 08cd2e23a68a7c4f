/** Fails when a package imports what tools/boundaries.ts, or reads a text as tools/outside-texts.ts, does not allow. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { join, normalize, relative } from "node:path";
import { type Room, rooms, testFakes, testLibraries } from "./boundaries.ts";
import { root } from "./bundle.ts";
import { type FoundImport, importsOf } from "./import-scan.ts";
import { looseReadings } from "./outside-texts.ts";

const scope = "@uvm-shim/";

/** Why the import is not allowed, or undefined when it is. */
export function violation(folder: string, room: Room, file: string, found: FoundImport): string | undefined {
  const { specifier, typesOnly } = found;
  const isTest = file.endsWith(".test.ts") || file.includes("/testing/");
  if (specifier.startsWith(".")) {
    const target = normalize(join(file, "..", specifier));
    return target.startsWith(`${folder}/src/`) || isTest ? undefined : `reaches out of ${folder}/src`;
  }
  if (specifier.startsWith("node:") || builtinModules.includes(specifier)) {
    if (isTest || typesOnly) return undefined;
    if (room.noNode) return "this room does no I/O";
    const startsPrograms = /^(node:)?child_process$/.test(specifier);
    return startsPrograms && !room.startsPrograms ? "only child-processes starts programs" : undefined;
  }
  if (isTest && testFakes.includes(specifier)) return undefined;
  if (specifier.startsWith(scope)) {
    const name = specifier.slice(scope.length).split("/")[0] ?? "";
    if (room.uses.includes(name) || (typesOnly && room.types?.includes(name))) return undefined;
    if (room.types?.includes(name)) return `only types may be taken from ${name}`;
    return `may use ${room.uses.join(", ") || "nothing of ours"}`;
  }
  const library = specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
  if (room.libraries?.includes(library) || (isTest && testLibraries.includes(library))) return undefined;
  return `may use the libraries ${room.libraries?.join(", ") || "(none)"}`;
}

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return entry.name === "generated" ? [] : sources(path);
    return path.endsWith(".ts") ? [path] : [];
  });
}

export function checkAll(): string[] {
  const problems: string[] = [];
  for (const area of ["packages", "apps"]) {
    for (const name of readdirSync(join(root, area))) {
      const folder = `${area}/${name}`;
      const room = rooms[folder];
      if (room === undefined) problems.push(`${folder}: no row in tools/boundaries.ts`);
      else if (existsSync(join(root, folder, "src"))) {
        for (const file of sources(`${folder}/src`)) {
          const source = readFileSync(join(root, file), "utf8");
          for (const found of importsOf(file, source)) {
            const why = violation(folder, room, file, found);
            if (why !== undefined) problems.push(`${file}:${found.line}: imports ${found.specifier}: ${why}`);
          }
          for (const { line, why } of looseReadings(file, source)) problems.push(`${file}:${line}: ${why}`);
        }
      }
    }
  }
  for (const folder of Object.keys(rooms)) {
    if (!existsSync(join(root, folder)))
      problems.push(`${folder}: has a row in tools/boundaries.ts but does not exist`);
  }
  return problems;
}

if (process.argv[1] !== undefined && relative(root, process.argv[1]) === join("tools", "check-boundaries.ts")) {
  const problems = checkAll();
  for (const problem of problems) process.stdout.write(`${problem}\n`);
  process.stdout.write(`boundaries: ${Object.keys(rooms).length} rooms, ${problems.length} violations\n`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
