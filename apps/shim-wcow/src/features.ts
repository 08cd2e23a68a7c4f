/**
 * What Windows containers may use, as `Features` of the OCI runtime specification. That has nothing about Windows beside
 * the options of mounts: of these a Windows container heeds `ro`, and the others say what is so anyway.
 */
export const features = {
  ociVersionMin: "1.0.0",
  ociVersionMax: "1.2.0",
  hooks: [],
  mountOptions: ["bind", "rbind", "ro", "rprivate", "rw"],
};
