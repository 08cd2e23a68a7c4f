/** Cases whose answers differ from upstream's on purpose, each with its reason. */
export const differences: Readonly<Record<string, string>> = {
  "process-console-size-huge": "upstream lets a size above 31 bits become negative; here it is refused",
};
