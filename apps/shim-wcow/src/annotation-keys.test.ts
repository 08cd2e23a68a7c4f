/** Sandboxes and containers know each other's annotations. */
import { windowsContainerAnnotationKeys } from "@uvm-shim/controller-container-wcow";
import { buildWindowsSandbox, containerAnnotationKeys } from "@uvm-shim/sandbox-wcow";
import { expect, it } from "vitest";

/** Known to sandboxes so that they do not warn of them, and read by no part of the shim. */
const readByNobody = [
  "io.microsoft.container.gpu.capabilities",
  "io.microsoft.cri.skip-pod-networking",
  "io.microsoft.migration.source-container-id",
  "io.microsoft.network.ncproxy.containerid",
  "io.microsoft.virtualmachine.wcow.amd-certificate",
  "io.microsoft.virtualmachine.wcow.securitypolicy.env",
];

function warningsOf(key: string): readonly string[] {
  const { warnings } = buildWindowsSandbox({
    ...{ owner: "test", vmId: "pod@vm", bundle: "C:\\bundle", annotations: { [key]: "1" } },
    specification: { windows: { layerFolders: ["C:\\base", "C:\\scratch"] } },
    host: {
      ...{ processors: 2, pathGrammar: "windows", executableFolder: "C:\\shim" },
      ...{ hasFile: () => true, hasFolder: () => true, newId: () => "", sha256: (data) => data },
    },
  });
  return warnings;
}

it.each(windowsContainerAnnotationKeys)("a sandbox knows %s, which containers read", (key) => {
  expect(warningsOf(key)).toEqual([]);
});

it("annotations that sandboxes leave to containers are those that containers read, and a few that nobody reads", () => {
  const unread = containerAnnotationKeys.filter((key) => !windowsContainerAnnotationKeys.includes(key));
  expect(unread.toSorted()).toEqual(readByNobody);
});
