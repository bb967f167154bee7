"""Words for what moves and how: verbs with their forms, and who or what they are said of.

Verbs are listed once, in their base form; the forms are made by rule. A line "walk stroll stride" gives every
verb of it the first one's name, so that synonyms read alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_IRREGULAR_ING: Final = {"lie": "lying", "tie": "tying", "die": "dying", "untie": "untying"}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def s_form(base: str) -> str:
    """Third person singular: walks, rushes, carries."""
    if base.endswith(("s", "x", "z", "ch", "sh", "o")):
        return f"{base}es"
    return f"{base[:-1]}ies" if base.endswith("y") and base[-2] not in "aeiou" else f"{base}s"


def ing_form(base: str) -> str:
    """Present participle: walking, racing, running."""
    if base in _IRREGULAR_ING:
        return _IRREGULAR_ING[base]
    if base.endswith("e") and not base.endswith(("ee", "oe", "ye")):
        return f"{base[:-1]}ing"
    # One vowel group that ends in a single consonant doubles it: run, sip; not rain, blow, flicker.
    vowels = [letter in "aeiou" for letter in base]
    groups = sum(now and not before for before, now in zip([False, *vowels], vowels, strict=False))
    doubles = groups == 1 and len(base) > 2 and vowels[-3:] == [False, True, False] and base[-1] not in "wxy"
    return f"{base}{base[-1]}ing" if doubles else f"{base}ing"


def _forms(lines: str) -> Iterator[tuple[str, str]]:
    for line in lines.strip().splitlines():
        for group in line.split(","):
            bases = group.split()
            for base in bases:
                for form in (base, s_form(base), ing_form(base)):
                    yield form, bases[0]


# --- verbs -------------------------------------------------------------------------------------------------

_PEOPLE_DO: Final = """
dart, thunder, waddle, clean, scythe, batter, pelt, lash, seethe, rear, buck, lope, slink
skitter scuttle, wallow, frolic romp, toddle totter, clamber, tackle, pitch, rinse, stack, load, unload
arrange, inspect, pound, walk stroll stride wander march tiptoe limp strut trudge saunter amble
run jog sprint bolt dash scurry, turn, smile grin smirk, laugh giggle chuckle, cry weep sob
scream shout yell, frown grimace scowl, yawn, blink wink, breathe inhale exhale sigh pant, nod
dance twirl waltz pirouette breakdance, jump leap hop skip, talk speak chat whisper murmur converse say
sing hum, look glance gaze peek peer stare, lean, stretch, raise lift hoist, reach grab grasp
gallop trot canter, swim paddle, dive plunge, fly soar hover swoop, ride, drive steer
throw toss hurl fling juggle, catch, kick, eat chew bite munch nibble swallow, drink sip gulp, pour
hug embrace cuddle, kiss, clap applaud cheer, crawl slither creep, climb, play, wag, shake, open, close
step, approach, tremble shiver shudder, knit sew weave, draw paint sketch, kneel crouch squat bow curtsy
salute, stand, feed, chop slice cut, stir whisk, flip, sweep, scrub wipe wash, hammer
sign write scribble type, read, knock, punch slap slam smash stab slash, wrestle fight spar
shoot fire aim, push shove, pull drag tug, carry haul, dig, plant, row, sail, surf
skate ski skateboard snowboard, cycle pedal, race chase, flee escape, sneak prowl stalk, hunt, strum
drum, conduct, bark growl roar howl meow, peck, graze, sniff lick, flap, perch, pounce
wriggle squirm wiggle, twist, bend, stumble trip, fall, slip, roll, tumble, swing, slide, spin whirl
rotate revolve, wave, point, gesture, shrug, pose, tilt, tuck, brush comb, adjust, zip, button, unbutton
unfold, fold, peel, squeeze, press, twitch, flick, scratch, rub, wake, pray
announce recite explain tell narrate, blush, stomp stamp, bounce, dodge, lunge, thrash
hurry rush scamper, land, launch, depart, arrive, accelerate, skid swerve, bob, nap, snore, transform
disappear vanish, crumble, wake, rise, move, travel, transport, unwrap, enter, exit, cross, leave, join
greet, wrestle, tap, swipe, scroll, shave, dress, undress, swat, sprint, parade, plod, levitate, morph
melt, wobble, sway, shuffle, spread, gather, swarm, emerge, arise, retreat, advance, vault, tie
rip tear, stitch, knead, charge, perform, crack, shower, gasp, score, strike, spill, serve, mix, grind
polish, assemble, build, repair, fix, tighten, loosen, mop, iron, inflate, whistle, cough, sneeze, faint
wade, hover, cruise, dock, drop, release, scoop, dip, sprinkle, fry, grill, roast, bake, decorate, wrap
trim, prune, harvest, saddle, milk, herd, purr, hiss, buzz, chirp, hatch, burrow, swish, cartwheel
somersault, tango, moonwalk, meditate, stretch, exercise, box, fence, duel, joust, attack, defend, block
parry, reload, deploy, eject, brake, honk, reverse, overtake, dust, paddle, hoist, unroll, unlock, lock
snap, tick, ring, whirr, click, slither, flare, fling, sharpen, carve, weld, mold, blow, sip, tickle
nuzzle, wriggle, gallop, hobble, swoosh, lunge, barrel, weigh, toast, collide, orbit, zoom, pick, put
answer, clash, stampede, part, hit, go come, streak, shift, crash, explode, stagger, ooze, drip, clink
pluck, kiss, peddle, sway, nudge, pat, pet, stroke, flex
"""
_NATURE_DOES: Final = """
scud, gutter sputter, babble gurgle, froth, patter spatter, sizzle, swell heave, recede, wane, drift
ripple, settle, billow, flow stream trickle gush surge cascade, flicker, rustle, swirl whirl eddy
blow gust, crash break, shimmer glisten glint, sparkle twinkle glitter, burn smolder smoulder blaze
float, pulse throb, flutter, bloom blossom, glide, drip, splash slosh, lap, churn, crackle, curl, waft
rain drizzle, snow, melt, scatter, erupt, gleam, flash, glow, undulate, foam, bubble, spray, spurt, seep
spread, disperse, dissipate, unfurl, flood, rumble, boil, simmer, smoke, ebb, whip, rage, tremble quiver
stir, wither, collapse, brighten, fade
"""
VERBS: Final = {**dict(_forms(_PEOPLE_DO)), **dict(_forms(_NATURE_DOES))}
"""Every form of every verb, with the name it is told by."""
NATURE_VERBS: Final = frozenset(form for form, _ in _forms(_NATURE_DOES)) - frozenset(
    form for form, _ in _forms(_PEOPLE_DO)
)
"""Forms that, with nobody named, are the environment's."""
NOUNS_TOO: Final = _words(
    """walk run jog sprint dash turn smile grin laugh cry scream shout yell frown yawn blink wink sigh nod
    dance waltz jump leap hop talk chat whisper look glance gaze stare stretch lift reach grasp swim
    dive fly ride drive throw toss catch kick bite drink sip hug kiss cheer crawl climb play shake step
    approach knit draw bow salute stand feed chop slice cut stir flip sweep wash hammer sign type knock
    punch slap fight fire aim push pull drag haul plant row sail surf skate ski cycle pedal race chase
    escape hunt drum conduct bark growl roar howl peck twist bend trip fall slip roll tumble swing slide
    spin wave point gesture pose tilt brush comb zip button fold peel press twitch flick scratch wake
    stamp bounce duck rush land launch park bob nap mouth light pack exit cross leave tap swipe scroll
    shave dress parade rock spread gather swarm retreat advance crash drip stroke pet pat shuffle drift
    ripple flow stream surge cascade flicker swirl eddy blow gust break shimmer sparkle glitter burn
    blaze float pulse flutter bloom blossom glide splash lap curl rain drizzle snow swell gutter load
    stack pitch tackle pound thunder buck rear lash spray flash box fence iron milk dust shower crack
    drop lock block ring tick click dock score mix strike charge brake snap flare barrel toast pan track
    zoom orbit glow foam bubble flood rumble boil smoke rage tremble rustle work travel transport fade
    whip collapse sway melt move shiver thrash transform shoot rise"""
)
"""Verbs whose base or -s form is a noun as well: a walk, the waves, cinnamon rolls."""
STATES: Final = _words(
    """is has was does wears holds sits stands lies looks seems contains shows depicts features hangs rests
    faces leads needs wants likes loves knows lives sees stays remains keeps feels consists belongs becomes
    owns costs means appears overlooks surrounds covers includes represents reminds resembles sounds smells
    tastes hears thinks hopes waits sleeps its this his hers yours ours theirs always perhaps across towards
    sometimes afterwards besides upwards downwards forwards backwards sideways outdoors indoors begins
    starts ends loops repeats overhead less plus minus versus as was us yes thus counts must uses asks
    requires matches fits"""
)
"""Words in -s that are no motion: states, and words that only look like a verb."""
STATE_ING: Final = _words(
    """being having sitting standing lying leaning looking wearing holding facing posing resting hanging
    overlooking featuring showing including containing using sleeping waiting missing during something
    nothing anything everything evening morning building ceiling painting clothing lighting setting wing
    string ring king thing spring wedding living dining keeping staying remaining surrounding covering
    depicting boring interesting amazing stunning charming reading-lamp smiling depending considering seeing
    watching according regarding sitting thinking feeling dreaming"""
)
"""Words in -ing that are no motion after "is": poses, states, nouns."""
POSED: Final = _words(
    "look lean hug play open ride drive approach pose stand smile hang carry read work point close"
)
"""Verbs whose -ing form describes a pose in a caption ("a man leaning on a wall")."""
MICRO: Final = _words(
    """smile blink breathe look nod sway flow billow flutter blow ripple shimmer drift rustle settle stir
    float tuck"""
)
"""Small motions that accompany others without competing with them."""
EXPRESSIONS: Final = _words("laugh cry scream frown yawn")
"""Motions that change a whole face."""
VIOLENT: Final = _words(
    """sprint sprints sprinting bolt bolts bolting slam slams slamming smash smashes smashing explode explodes
    exploding erupt erupts erupting thrash thrashes thrashing skid skids skidding rage rages raging stampede
    stampedes stampeding plunge plunges plunging bursts bursting hurtle hurtles hurtling whips whipping
    explosion explosions tornado hurricane blizzard wildfire inferno stampede avalanche frenzy panic
    eruption explosive rush rushes rushing chase collapses"""
)
"""Words that mean strong motion without an adverb."""

# --- actors ------------------------------------------------------------------------------------------------

PRONOUNS: Final = _words("she he they it who which i we you everyone everybody someone somebody")
PEOPLE: Final = _words(
    """she he they her his him them who it its man woman men women girl girls boy boys boyfriend girlfriend
    child children kid kids people person someone everyone model subject crowd couple bride groom family
    friends friend baby toddler coach witness heron twin twins gymnast seamstress cook shepherd acrobat
    puppet puppets quartet
    trio duo guest guests student students guy lady gentleman king queen prince princess knight monk priest
    nun chef nurse cop police judge pilot soldiers soldier warrior veteran grandma grandpa grandmother
    grandfather grandparents mother father mom mum dad sister brother son daughter aunt uncle cousin
    ancestor ancestors bard band choir team athlete astronaut barista bartender cowboy ninja samurai witch
    wizard zombie ghost angel santa clown hero villain diva geisha bandit thief fisherman mechanic
    blacksmith athlete figure figures mascot character characters statue figurine doll robot robots android
    dragon monster creature alien skeleton avatar dog dogs puppy cat cats kitten horse horses bird birds
    seagull seagulls gull gulls owl eagle hawk parrot penguin duck swan goose hen rooster crow raven sparrow
    hummingbird bee bees butterfly butterflies dragonfly fish fishes shark whale dolphin octopus jellyfish
    turtle crab frog snake lizard crocodile lion lioness tiger leopard cheetah bear wolf fox deer elk moose
    rabbit hare squirrel mouse rat hamster monkey gorilla elephant giraffe zebra hippo rhino camel cow bull
    sheep goat pig donkey pony stallion foal panda koala kangaroo animal animals pet gazelle antelope otter
    seal mermaid car train tram bus truck bike bicycle motorcycle motorbike scooter boat ship sailboat ferry
    yacht steamship plane airplane aircraft jet helicopter spaceship rocket satellite spacecraft tank
    tractor carriage kayak canoe sled balloon skateboard vehicle engine crane head eyes eye lips lip mouth
    hand hands finger fingers arm arms leg legs foot feet face body chest shoulders tail wing wings paw paws
    ear ears hooves belly tongue knee hair strands strand curls ponytail beard fur mane feathers dress skirt
    coat scarf veil fabric cloth sleeves sleeve cape cloak robe silk gown jacket shirt shawl kimono saree
    ruffles cloak train chiffon bottle watch clock coin wheel gears fan carousel ball kite top windmill-toy
    product vase lid cube cyclist athletes dancer dancers skier skiers surfer biker robotics pianist
    violinist guitarist drummer wrestlers musicians passengers commuters players kids runners joggers
    swimmers racers fighters"""
)
WEARABLE: Final = _words(
    """hair strands strand curls dress skirt coat scarf veil fabric cloth sleeves cape fur mane robe silk gown
    cloak jacket shirt shawl kimono saree beard ponytail feathers ruffles chiffon train pleats fringe lace"""
)
"""Parts of a subject: what they do is subject motion."""
NATURE: Final = _words(
    """cloud clouds water waters wave waves leaf leaves foliage tree trees oak oaks willow birch maple palm
    palms pine pines branch branches grass grasses reeds wheat barley corn field fields meadow smoke steam
    fire fires campfire bonfire wildfire flame flames candle candles candlelight torch embers ember snow
    snowflakes snowflake snowfall rain raindrops raindrop droplets droplet drops rainfall drizzle hail fog
    mist haze wind winds breeze gust gusts storm thunderstorm thunder lightning tornado hurricane blizzard
    sandstorm dust motes sand dune dunes sea ocean river stream creek brook waterfall lake pond pool surf
    tide swell current currents spray fountain light lights lamp lantern lanterns neon sunlight moonlight
    sunbeam rays beam beams shadow shadows reflection reflections sky sun moon star stars aurora comet
    petals petal flower flowers blossom blossoms vine vines seaweed coral bubbles bubble ripples sparks
    spark lava magma ash wax ivy kelp hail hailstones ground earth soil algae moss bamboo hay puddle puddles
    paper-lantern particles particle confetti debris curtain curtains flag flags banner banners traffic cars
    windmill turbines ink paint gold blobs fireflies firefly fireworks glitter incense exhaust volcano
    geyser glacier ice icicles pollen dandelion seeds flag's surface haystack city skyline day night scenery
    environment background sails awning chimes laundry dam slope tower building explosion"""
)
INHERENT: Final = _words(
    """waterfall rain snow fire waves surf fountain campfire bonfire flames candle river stream creek
    raindrops aurora clouds smoke inferno lava snowfall blizzard storm fireplace stars lights"""
)
"""Things that move by being there: once a loop or a sound of them is asked for, their motion is."""
MOTION_NOUNS: Final = {
    "ripple": "ripple", "ripples": "ripple", "drift": "drift", "sway": "sway", "flicker": "flicker",
    "swirl": "swirl", "swirls": "swirl", "shimmer": "shimmer", "flutter": "flutter", "splash": "splash",
    "breeze": "blow", "gust": "blow", "gusts": "blow", "wind": "blow", "snowfall": "fall", "rainfall": "fall",
    "downpour": "fall", "drizzle": "fall", "timelapse": "drift", "blizzard": "blow", "explosion": "explode",
    "explosions": "explode", "eruption": "erupt",
}  # fmt: skip
"""Nouns that are motions in themselves ("soft surface ripple", "a light breeze")."""
DEEDS: Final = _words(
    """blink wink smile nod breath breathing glance yawn kiss hug leap jump serve punch kick dive spin twirl
    dance somersault backflip flip gesture gestures stretch sprint laugh"""
)
"""Nouns of what somebody does; after a word of degree they ask for it ("subtle blink, slight breath")."""
ART: Final = _words(
    "painting drawing building sketching printing lighting clothing rocking wrapping hanging knitting"
)
"""Things as often as doings: without somebody before them they are things."""
BASE_IN_ING: Final = _words("swing sing fling ring sting cling spring string bring wing")
"""Base forms that look like a form in -ing."""
SIGNS: Final = _words("sign label banner note shirt poster letter text caption billboard card book")
"""What says or reads something without a voice."""
WINDS: Final = _words("breeze gust gusts wind")
WIND_THINGS: Final = _words(
    "turbine turbines chime chimes farm tunnel instrument instruments jacket noise sound howling sounds"
)
WAYS: Final = _words(
    """road roads path paths trail bridge wall fence street staircase stairs line highway railway river"""
)
"""What "runs" or "winds" somewhere without moving."""
FALLING: Final = _words("rain snow steam mist smoke wind waves drizzle snowfall fog ripples")
"""Nouns of things that move by being there; a word of degree before them asks for it ("gentle rain")."""
STILL_NATURE: Final = _words("hills hill mountain mountains stone stones rock rocks road roads leaves-of")
COMPOUND_AFTER: Final = _words(
    """pool shoes shoe chair chairs track tracks stick machine room lot mall boat pan board gum bowl bag cloth
    desk table book kit stone pin boxes fox house buddha hills hat helmet area spot point school class lens
    game games station gear equipment suit goggles cap water-bottle lesson space ground field man woman-
    statue"""
)
"""After an -ing form these make a thing's name or a description: swimming pool, rocking chair."""
NOT_AGENTS: Final = _words(
    """water river flower summer winter weather corner tower leather silver paper timer mirror floor door
    computer letter feather harbor number order shower power center counter cover folder gutter paper silver
    amber ember timber chamber member december october november september butter pepper sugar ginger outer
    inner upper lower other another rather either never ever over under after shutter layer supper dinner
    trailer poster laser roller printer speaker laser blender color colour motor mirror interior exterior
    decor vapor armor armour odor for or nor slower faster closer wider higher lower together however
    whether border thunder former latter glitter finger shoulder ladder hammer copper cucumber drawer
    boulder container hair-dryer sweater closer better meter liter centre theater diner tapestry fewer
    proper super cyber manner banner lantern candlelight burger cider cracker later quieter calmer softer
    harder stronger louder brighter darker warmer longer shorter cluster monster-truck waterfall woman's
    specimen list mist twist wrist fist artist-paint assist exist persist insist resist least east west rest
    best test guest forest harvest chest nest latex mess less dress press glass grass address process
    success express princess business wilderness darkness ian"""
)
_AGENT_ENDINGS: Final = (
    "er",
    "ers",
    "or",
    "ors",
    "ist",
    "ists",
    "ian",
    "ians",
    "woman",
    "women",
    "man",
    "men",
)


def is_someone(word: str) -> bool:
    """A person, an animal, a vehicle or a part of one: by list, or by an ending (violinist, hiker)."""
    if word in PEOPLE or (word.endswith("s") and len(word) > 4 and word[:-1] in PEOPLE):
        return True
    return len(word) > 4 and word.endswith(_AGENT_ENDINGS) and not _is_thing(word)


def _is_thing(word: str) -> bool:
    return word in NOT_AGENTS or word in NATURE or word.removesuffix("s") in NOT_AGENTS
