/** What users write: annotations, and the runtime's configuration. */
import { parseWindowsLayers } from "@uvm-shim/sandbox-wcow";
import { runtimeoptions } from "@uvm-shim/shim/protocol";
import { readAnnotations as readContainerAnnotations } from "../../../../../packages/controller-container/src/plan/annotations.ts";
import {
  expandedAnnotations,
  readAnnotations as readWindowsContainerAnnotations,
} from "../../../../../packages/controller-container-wcow/src/specification/annotations.ts";
import { readAnnotations } from "../../../../../packages/sandbox-lcow/src/annotations/annotations.ts";
import { readAnnotations as readWindowsAnnotations } from "../../../../../packages/sandbox-wcow/src/annotations/annotations.ts";
import { logSources } from "../../../../../packages/sandbox-wcow/src/document/log-sources.ts";
import { decodeRuntimeOptions } from "../../../../../packages/shim/src/program/runtime-options.ts";
import { NoJson, parseJson, type Subject } from "../subject.ts";

const vm = "io.microsoft.virtualmachine.";

class Refused extends Error {
  override readonly name = "Refused";
}

const refuse = ((_code: string, message: string) => new Refused(message)) as never;

/** As a bundle's reader hands annotations on: strings by their keys. */
function annotationsOf(input: Buffer): { readonly [key: string]: string } {
  const value = parseJson(input);
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new NoJson("no object");
  return Object.fromEntries(
    Object.entries(value).map(([key, text]) => [key, String(typeof text === "object" ? "" : text)]),
  );
}

const toml = [
  'boot_files_root_path = "/boot"\nvm_memory_size_in_mb = 512\ndebug = true\n[default_container_annotations]\na = "b"\n',
  "BootFilesRootPath = '''x\ny'''\nSandboxIsolation = 1\nConfigPath = \"\"\nlogLevel = \"debug\" # c\n",
];

export const settingSubjects: readonly Subject[] = [
  {
    name: "sandbox-annotations",
    seeds: [
      {
        [`${vm}computetopology.memory.sizeinmb`]: "512",
        [`${vm}computetopology.processor.count`]: "2",
        [`${vm}lcow.kernelbootoptions`]: "quiet",
        [`${vm}computetopology.numa.virtualnodecount`]: "2",
        [`${vm}lcow.hcl-enabled`]: "false",
        [`${vm}bootfilesrootpath`]: "/b",
        [`${vm}unknown.key`]: "x",
        "io.kubernetes.cri.sandbox-id": "pod",
      },
    ],
    refusals: ["SandboxError", "NoJson"],
    decode: (input) => readAnnotations(annotationsOf(input), () => {}),
  },
  {
    name: "windows-sandbox-annotations",
    seeds: [
      {
        [`${vm}wcow.additional-reg-keys`]:
          '[{"Key":{"Hive":"Software","Name":"a\\\\b"},"Name":"n","Type":"DWord","DWordValue":1}]',
        [`${vm}wcow.isolation_type`]: "VBS",
        [`${vm}computetopology.processor.count`]: "2",
        [`${vm}hv-socket.service-table.11111111-2222-3333-4444-555555555555`]: '{"AllowWildcardBinds":true}',
        [`${vm}lcow.kerneldirectboot`]: "false",
        "io.microsoft.disable-unsafe-operations": "true",
        "io.microsoft.wcow.debug": "false",
      },
    ],
    refusals: ["SandboxError", "NoJson"],
    decode: (input) => readWindowsAnnotations(annotationsOf(input), () => {}),
  },
  {
    name: "windows-log-sources",
    seeds: [
      {
        LogConfig: {
          sources: [
            { type: "ETW", providers: [{ providerName: "a", providerGuid: "{11111111-2222-3333-4444-555555555555}" }] },
          ],
        },
      },
    ],
    refusals: ["SandboxError"],
    decode: (input) => logSources({ wanted: input.toString("base64"), withDefaults: true, isConfidential: false }),
  },
  {
    name: "windows-layers",
    seeds: [
      { type: "windows-layer", options: ['parentLayerPaths=["C:\\\\base","C:\\\\top"]', "rw"] },
      {
        type: "BlockCIM",
        options: ['parentCimPaths=["C:\\\\1\\\\a.cim"]', "blockCIMType=file", "mergedCIMPath=C:\\m\\m.cim"],
      },
    ],
    refusals: ["SandboxError", "NoJson"],
    decode: (input) => {
      const { type, options } = Object(parseJson(input)) as { readonly type?: unknown; readonly options?: unknown };
      if (typeof type !== "string" || !Array.isArray(options)) throw new NoJson("no mount");
      const texts = options.filter((option) => typeof option === "string");
      const mount = { type, source: "C:\\scratch", options: texts };
      return parseWindowsLayers({ rootfs: [mount], grammar: "windows" });
    },
  },
  {
    name: "container-annotations",
    seeds: [
      {
        "io.kubernetes.cri.container-type": "container",
        "io.microsoft.virtualmachine.lcow.privileged": "true",
        "io.microsoft.lcow.shm.size-kb": "64",
        "io.microsoft.virtualmachine.lcow.hostnetwork": "0",
        "io.microsoft.container.certificates": "YQ==",
      },
    ],
    refusals: ["Refused", "NoJson"],
    decode: (input) => readContainerAnnotations(annotationsOf(input), "pod", refuse, () => {}),
  },
  {
    name: "windows-container-annotations",
    seeds: [
      {
        "io.microsoft.container.processor.count": "1",
        "io.microsoft.container.memory.sizeinmb": "512",
        "io.microsoft.container.processdumplocation": "C:\\dumps\\{container_id}",
        "io.microsoft.container.wcow.deviceextensions": "C:\\a.json,C:\\b.json",
        "io.microsoft.container.wcow.test-registry-annotation":
          '[{"Key":{"Hive":"Software","Name":"a"},"Name":"b","Type":"DWord","DWordValue":1}]',
        "io.microsoft.disable-unsafe-operations": "false",
        "microsoft.com/hostprocess-container": "true",
      },
    ],
    refusals: ["Refused", "NoJson"],
    decode: (input) => readWindowsContainerAnnotations(expandedAnnotations(annotationsOf(input), refuse), refuse),
  },
  {
    name: "runtime-configuration",
    seeds: toml.map((text) => Buffer.from(text)),
    refusals: ["ShimError"],
    decode: (input) =>
      decodeRuntimeOptions({
        typeUrl: "runtimeoptions.v1.Options",
        value: runtimeoptions.v1.Options.encode({ configBody: input }).finish(),
      }),
  },
];
