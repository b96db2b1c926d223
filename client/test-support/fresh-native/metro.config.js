// Expo's settings: the platforms, and that modules are modules.
module.exports = {
  resolver: { platforms: ['ios', 'android'], unstable_conditionNames: ['require', 'react-native'] },
  transformer: { getTransformOptions: async () => ({ transform: { experimentalImportSupport: true } }) },
};
