/** Readers of what is sent as JSON in strings: container configurations and process parameters. */
import { Fields } from "@uvm-shim/gcs-bridge";
import type { LinuxHostedContainerSettings, LinuxProcessParameters, OciProcess, OciSpec } from "@uvm-shim/hcs-schema";
import { absolutePath } from "../requests/guest-requests.ts";
import { spelledProcess, spelledSpecification } from "./specification-names.ts";

/** Throws a FieldError naming the field. */
export function readContainerSettings(text: string): LinuxHostedContainerSettings {
  const fields = Fields.parse(text, "ContainerConfig");
  const schema = fields.optionalObject("SchemaVersion");
  const specification = fields.object("OciSpecification");
  checkSpecification(specification);
  return {
    SchemaVersion: { Major: version(schema, "Major"), Minor: version(schema, "Minor") },
    OciBundlePath: absolutePath(fields, "OciBundlePath"),
    OciSpecification: spelledSpecification(fields.raw("OciSpecification")) as OciSpec,
    ScratchDirPath: (fields.optionalText("ScratchDirPath") ?? "") === "" ? "" : absolutePath(fields, "ScratchDirPath"),
  };
}

/** The properties of a query beside the default ones. Throws a FieldError naming the field. */
export function readPropertyTypes(query: string): readonly string[] {
  return query === "" ? [] : texts(Fields.parse(query, "Query"), "PropertyTypes");
}

/** Throws a FieldError naming the field. */
export function readProcessParameters(text: string): LinuxProcessParameters {
  const fields = Fields.parse(text, "ProcessParameters");
  if (fields.has("OCIProcess")) checkProcess(fields.object("OCIProcess"));
  const size = fields.list("ConsoleSize", (item, path) => new Fields({ [path]: item }).integer(path, 0, 0xffff));
  const [height, width] = size;
  return {
    EmulateConsole: fields.flag("EmulateConsole"),
    CreateStdInPipe: fields.flag("CreateStdInPipe"),
    CreateStdOutPipe: fields.flag("CreateStdOutPipe"),
    CreateStdErrPipe: fields.flag("CreateStdErrPipe"),
    CommandArgs: texts(fields, "CommandArgs"),
    WorkingDirectory: fields.optionalText("WorkingDirectory") ?? "",
    Environment: fields.record("Environment", textOf),
    ...(fields.has("OCIProcess") ? { OCIProcess: spelledProcess(fields.raw("OCIProcess")) as OciProcess } : {}),
    ...(height !== undefined && width !== undefined && height > 0 && width > 0 ? { ConsoleSize: [height, width] } : {}),
  };
}

/** Checks the parts of a specification that this agent reads; the OCI runtime checks the rest. */
function checkSpecification(fields: Fields): void {
  fields.text("ociVersion");
  absolutePath(fields.object("root"), "path");
  checkProcess(fields.object("process"));
  const linux = fields.optionalObject("linux");
  linux.list("namespaces", (item, path) => {
    const namespace = new Fields(item, path);
    namespace.text("type");
    namespace.optionalText("path");
  });
  linux.list("devices", (item, path) => new Fields(item, path).text("path"));
  fields.optionalObject("windows").list("devices", (item, path) => {
    const device = new Fields(item, path);
    device.text("id");
    device.text("idType");
  });
  linux.record("sysctl", textOf);
}

function checkProcess(fields: Fields): void {
  if (texts(fields, "args").length === 0) throw fields.rejected("args", "a list of at least one string");
  fields.text("cwd");
  fields.flag("terminal");
  if (fields.has("oomScoreAdj")) fields.integer("oomScoreAdj", -1000, 1000);
  fields.record("capabilities", (set, path) => texts(new Fields({ [path]: set }), path));
  fields.list("rlimits", (item, path) => {
    const limit = new Fields(item, path);
    limit.text("type");
    limit.integer("hard", 0, 2 ** 64);
    limit.integer("soft", 0, 2 ** 64);
  });
}

function texts(fields: Fields, name: string): readonly string[] {
  return fields.list(name, textOf);
}

function textOf(item: unknown, path: string): string {
  return new Fields({ [path]: item }).text(path);
}

function version(fields: Fields, name: string): number {
  return fields.has(name) ? fields.unsigned32(name) : 0;
}
