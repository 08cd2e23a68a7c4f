/**
 * `node test/src/documents/wcow.ts CASES.json`: what production code makes of cases of Windows pods, by name. The work is
 * done in ../windows-documents. A Node that cannot load TypeScript hands over to the pinned one, as the root's scripts do.
 */
if (process.features.typescript) void import("../windows-documents/command.ts");
else {
  void import("node:path").then(({ resolve }) => {
    const [node, , ...files] = process.argv;
    process.argv = [node ?? "node", "run.mjs", "documents", ...files.map((file) => resolve(file))];
    return import("../../../tools/run.mjs");
  });
}
