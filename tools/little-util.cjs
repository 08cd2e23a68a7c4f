// What koffi uses of node:util.
exports.deprecate = require("node:util").deprecate;
