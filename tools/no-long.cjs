// In bundles in place of long.js: see tools/bundle.ts.
module.exports = {};
