workFor('driver', {
  ...userActs,
  ran: async () => {
    await until(() => document.readyState !== 'loading');
    await sleep(300);
    return window.ran ?? [];
  },
  // A part of another site on the app's page.
  'show-widget': ({ url }) => {
    const frame = Object.assign(document.createElement('iframe'), { src: url, title: 'Weather of another site' });
    document.querySelector('main').append(frame);
  },
});
